/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *  1. Where the new root is to be, and that nothing speaks against it.
 *  2. The tree is made in a place of the pool (link/copytree.h).
 *  3. syncfs(2): all of it is on disk before it has a name.
 *  4. One rename, to a name that must be free; the directory above it is synced.
 *  5. The guest is registered.
 *
 * Killed before 4: recovery removes the place. Between 4 and 5: the guest is complete, and is registered by the
 * scan that names it.
 */
#include "ops/ops-clone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "db/catalog-guest.h"
#include "fs/iattr.h"
#include "fs/stat.h"
#include "fs/xattr.h"
#include "link/trees.h"
#include "ops/eviction.h"
#include "ops/farm.h"
#include "ops/locate.h"
#include "ops/new-guest.h"
#include "ops/recovery.h"
#include "ops/run.h"
#include "ops/session.h"

struct cloning {
	struct vu_ops *ops;
	const struct vu_clone_options *o;
	struct vu_clone_report *report;
	struct vu_session session; /* of the guest that is cloned */
	struct vu_guests known;
	struct vu_eviction eviction;
	struct vu_run run;
	struct vu_stat like; /* of its root, before */
	char *above;	     /* owned; the directory that gets the new root */
	const char *base;    /* what it is called there; in report->path */
	int above_fd;
	char place[VU_TREE_NAME_MAX]; /* "": there is none */
};

static struct vu_session_fs *fs_of(struct cloning *c)
{
	return &c->session.fs[c->session.guest_fs[0]];
}

static const struct vu_guest *source(const struct cloning *c)
{
	return &c->session.guests.v[0];
}

/* ---- where to ---- */

static int refuse(struct cloning *c, int code, const char *why, const char *todo)
{
	return vu_fail(c->ops, code, "cannot make the guest",
		       c->report->path ? c->report->path : c->o->new, why, todo);
}

/* A name means beside the root of the guest that is cloned. */
static int name_path(struct cloning *c)
{
	const char *new = c->o->new, *root = source(c)->path;

	if (strchr(new, '/')) {
		c->report->path = vu_locate_absolute(new);
		if (!c->report->path)
			return refuse(c, -errno, NULL, "make the directory that it is to lie in");
	} else if (!vu_guest_name_ok(new)) {
		return refuse(c, VU_OPS_USAGE,
			      "a guest's name is not empty, has no '/', and at most 255 bytes",
			      NULL);
	} else if (asprintf(&c->report->path, "%.*s/%s", (int)(strrchr(root, '/') - root), root,
			    new) < 0) {
		c->report->path = NULL;
		return -ENOMEM;
	}
	c->base = strrchr(c->report->path, '/') + 1;
	c->above = strndup(c->report->path, (size_t)(c->base - c->report->path));
	return c->above ? 0 : -ENOMEM;
}

static int check_name(struct cloning *c)
{
	const char *new = c->o->new;

	return vu_new_guest_check(c->ops, &c->known, strchr(new, '/') ? NULL : new, c->report->path,
				  c->above_fd, c->base);
}

VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)

static int check_mount(struct cloning *c)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};
	uint32_t there = 0, pool = 0;
	int r = vu_mount_of(c->above_fd, &m);

	if (!r && (m.id != fs_of(c)->mount.id || m.dev != fs_of(c)->mount.dev))
		return refuse(c, VU_OPS_REFUSED,
			      "it is on another mount than the guest, where what that shares can "
			      "have no names",
			      "name a place on the same mount");
	if (!r)
		r = vu_iattr_project_inherited(c->above_fd, &there);
	if (!r && fs_of(c)->pool)
		r = vu_iattr_project(vu_pool_fd(fs_of(c)->pool), &pool);
	if (!r && there && there != pool)
		return refuse(c, VU_OPS_REFUSED,
			      "what is made there is accounted to a project (project quota), and "
			      "nothing can be linked into another project",
			      "name a place without one");
	return r ? refuse(c, r, NULL, NULL) : 0;
}

static int find_place(struct cloning *c)
{
	int r = name_path(c);

	if (r)
		return r;
	c->above_fd = open(c->above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->above_fd < 0)
		return refuse(c, -errno, NULL, "make the directory that it is to lie in");
	r = vu_session_known_guests(&c->session, &c->known);
	return r ? r : check_name(c);
}

/* ---- the run ---- */

static int open_all(struct cloning *c)
{
	char *operand = (char *)(uintptr_t)c->o->guest;
	int r = vu_session_open(&c->session, c->ops, VU_SESSION_WRITE, &operand, 1);

	if (!r)
		r = find_place(c);
	if (!r)
		r = vu_session_check_trust(&c->session, c->o->trust_guests);
	if (!r)
		r = c->o->dry_run ? vu_session_find_pools(&c->session)
				  : vu_session_open_pools(&c->session, true);
	if (!r && !c->o->dry_run)
		r = vu_session_lock_pools(&c->session);
	if (!r)
		r = check_mount(c);
	if (!r)
		r = vu_eviction_open(&c->eviction, &c->session);
	if (!r)
		r = vu_run_begin(&c->session, "clone", c->o->dry_run, &c->run);
	if (!r)
		r = vu_recovery_before_run(&c->eviction, c->o->dry_run);
	return r;
}

static int explain(struct cloning *c, int r, const char *at)
{
	_cleanup_free_ char *on = NULL;

	if (asprintf(&on, "%s%s%s", source(c)->name, at ? ":/" : "", at ? at : "") < 0) {
		on = NULL;
		return -ENOMEM;
	}
	switch (r) {
	case VU_COPYTREE_TOO_DEEP:
		return vu_fail(c->ops, VU_OPS_REFUSED, "cannot clone", on,
			       "it lies deeper than max_depth",
			       "raise max_depth in vunify.conf if that is meant to be");
	case VU_COPYTREE_TOO_MANY:
		return vu_fail(c->ops, VU_OPS_REFUSED, "cannot clone", on,
			       "the guest has more files than max_files",
			       "raise max_files in vunify.conf if that is meant to be");
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(c->ops, VU_OPS_NO_SPACE, "cannot clone", on, strerror(-r),
			       "free some space; nothing of the new guest is left");
	case -ECANCELED:
		return vu_fail(c->ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "nothing of the new guest is left", NULL);
	default:
		return vu_fail(c->ops, r, "cannot clone", on, NULL,
			       "nothing of the new guest is left");
	}
}

/* Fills the place, or with dry_run only counts. */
static int make_tree(struct cloning *c, int place, const struct vu_pool_listing *objects,
		     struct vu_moment_env *moment)
{
	const struct vu_config *config = c->ops->config;
	struct vu_copytree_env env = {
		.pool = fs_of(c)->pool,
		.objects = objects,
		.moment = moment,
		.jobs = vu_farm_jobs(config),
		.max_depth = config->max_depth,
		.max_files = config->max_files,
		.reset = config->reset,
		.guest = source(c)->name,
		.dry_run = c->o->dry_run,
		.progress = c->ops->progress,
	};
	_cleanup_free_ char *at = NULL;

	if (c->ops->progress)
		vu_progress_begin(c->ops->progress, VU_PHASE_BREAK, 0, 0);
	int r = vu_copytree(&env, c->session.root_fds[0], place, &c->report->tree, &at);

	return r ? explain(c, r, at) : 0;
}

/* What was made of it goes again: the pool is as it was. */
static void drop_place(struct cloning *c, const struct vu_pool_listing *objects,
		       struct vu_moment_env *moment)
{
	struct vu_rmtree_stats stats = {0};
	struct vu_rmtree_env env = {
		.pool = fs_of(c)->pool,
		.objects = objects,
		.moment = moment,
		.jobs = 1,
		.to_end = true,
	};

	if (*c->place && vu_trees_remove(&env, c->place, &stats))
		vu_emit(&c->session.counting,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.text = "what was made of the new guest could not be removed from "
					"the pool: `vunify recover`, or the next run, does it"});
}

static int give_name(struct cloning *c, int place)
{
	_cleanup_fd_ int root = openat(place, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = root < 0 ? -errno : vu_pool_sync(fs_of(c)->pool);

	if (r)
		return explain(c, r, NULL);
	if (renameat2(place, "root", c->above_fd, c->base, RENAME_NOREPLACE)) {
		r = -errno;
		return refuse(c,
			      r == -EEXIST		     ? VU_OPS_USAGE
			      : r == -EXDEV		     ? VU_OPS_REFUSED
			      : r == -ENOSPC || r == -EDQUOT ? VU_OPS_NO_SPACE
							     : r,
			      r == -EEXIST ? "there is something by now" : strerror(-r),
			      "nothing of the new guest is left");
	}
	r = vu_copytree_settle(root, &c->like);
	if (!r && fsync(c->above_fd))
		r = -errno;
	return r ? refuse(c, r, NULL, "the new guest is complete, but look at its root directory")
		 : 0;
}

static int make_guest(struct cloning *c)
{
	struct vu_pool_listing objects = {0};
	struct vu_moment_env moment;
	_cleanup_fd_ int place = -EBADF;
	int r = vu_stat_fd(c->session.root_fds[0], &c->like);

	vu_moment_env_init(&moment, &c->session.counting, VU_XATTR_ANY);
	moment.watch = &c->eviction.watch;
	if (!r && fs_of(c)->pool)
		r = vu_pool_listing_read(&objects, fs_of(c)->pool);
	if (!r && !c->o->dry_run) {
		r = vu_trees_name(VU_TREE_MADE, 0, c->place);
		place = r ? r : vu_trees_make(fs_of(c)->pool, c->place);
		r = place < 0 ? explain(c, place, NULL) : 0;
	}
	if (!r)
		r = make_tree(c, place, &objects, &moment);
	if (!r && !c->o->dry_run)
		r = give_name(c, place);
	drop_place(c, &objects, &moment);
	vu_pool_listing_done(&objects);
	vu_moment_env_done(&moment);
	return r;
}

static int copy_rules(const struct vu_guest *from, struct vu_guest *to)
{
	size_t n = 0;

	while (from->rules && from->rules[n])
		n++;
	to->rules = calloc(n + 1, sizeof(*to->rules));
	for (size_t i = 0; to->rules && i < n; i++) {
		to->rules[i] = strdup(from->rules[i]);
		if (!to->rules[i])
			return -ENOMEM;
	}
	return to->rules ? 0 : -ENOMEM;
}

VU_DEFINE_CLEANUP_DONE(struct vu_guest, vu_guest_done)

/* In the same domain, with the same rules and trust. */
static int register_guest(struct cloning *c)
{
	vu_cleanup(vu_guest_done_p) struct vu_guest g = {0};
	int r = vu_session_make_guest(&c->session, &c->known, c->report->path, &g);

	if (r)
		return r;
	free(g.domain);
	g.domain = strdup(source(c)->domain);
	g.trust = source(c)->trust;
	r = g.domain ? copy_rules(source(c), &g) : -ENOMEM;
	if (!r && !strchr(c->o->new, '/')) {
		free(g.name);
		g.name = strdup(c->o->new);
		r = g.name ? 0 : -ENOMEM;
	}
	if (r)
		return r;
	r = vu_catalog_guest_add(c->session.catalog, &g);
	if (r)
		return vu_session_catalog_failed(&c->session, r);
	c->report->guest = vu_take_ptr(g.name);
	return 0;
}

static int run(struct cloning *c)
{
	int r = make_guest(c), e;

	if (c->o->dry_run)
		return r;
	if (!r) {
		r = register_guest(c);
		if (r)
			vu_emit(&c->session.counting,
				&(struct vu_event){
					.kind = VU_EVENT_WARN,
					.text = "the new guest is complete, but not registered: "
						"`vunify guests add` it"});
	}
	e = vu_eviction_run(&c->eviction, false);
	vu_pool_dissolve(fs_of(c)->pool); /* if nothing is in it */
	return r ? r : e;
}

void vu_clone_report_done(struct vu_clone_report *r)
{
	free(r->guest);
	free(r->path);
	*r = (struct vu_clone_report){0};
}

static void finish(struct cloning *c, int r)
{
	struct vu_clone_report *p = c->report;

	p->frozen = vu_freezer_stats(c->eviction.freezing.freezer);
	p->seconds = vu_run_seconds(&c->run);
	c->run.names = p->tree.names;
	vu_run_end(&c->session, &c->run, NULL, 0, r);
	p->warnings = c->session.warnings;
	p->damages = c->session.damages;
	vu_eviction_close(&c->eviction);
	vu_guests_done(&c->known);
	vu_session_close(&c->session);
	vu_close_p(&c->above_fd);
	free(c->above);
}

int vu_ops_clone(struct vu_ops *ops, const struct vu_clone_options *o,
		 struct vu_clone_report *ret_report)
{
	struct cloning c = {
		.ops = ops,
		.o = o,
		.report = ret_report,
		.session = {.lock_fd = -EBADF},
		.above_fd = -EBADF,
	};

	*ret_report = (struct vu_clone_report){0};
	int r = open_all(&c);

	if (!r)
		r = run(&c);
	if (r < 0 && !ops->problem->what)
		r = vu_fail(ops, r == -ECANCELED ? VU_OPS_CANCELLED : r, "cannot clone", o->guest,
			    NULL, NULL);
	finish(&c, r);
	return r;
}
