/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *  1. Whatever speaks against it is found: processes, mounts, flags of the admin's (ops/leaving.h).
 *  2. The root is renamed into the pool (link/trees.h), under the number of its inode. It is no guest's any
 *     more: nobody can start it, and none of its names leads anywhere. Processes are looked for once
 *     more: whoever was started in between has it back.
 *  3. The tree is removed (link/rmtree.h), then its place.
 *  4. The catalog forgets the guest.
 *
 * Killed in 2: it is where it was, or in the pool. Behind that: the same command, or recovery, goes on. Killed
 * before 4: the same command finds neither root nor place, and forgets the guest.
 */
#include "ops/ops-remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "db/catalog-guest.h"
#include "fs/stat.h"
#include "fs/xattr.h"
#include "link/moment.h"
#include "link/trees.h"
#include "ops/eviction.h"
#include "ops/farm.h"
#include "ops/leaving.h"
#include "ops/recovery.h"
#include "ops/run.h"
#include "ops/session.h"

#define ROOT "root" /* what a guest's root is called in its place */

enum state {
	STATE_THERE, /* its root is where it was */
	STATE_GOING, /* in the pool: a removal was cut short */
	STATE_GONE,
};

struct removal {
	struct vu_ops *ops;
	const struct vu_remove_options *o;
	struct vu_remove_report *report;
	struct vu_session session;
	struct vu_eviction eviction;
	struct vu_run run;
	struct vu_guest guest;		/* owned; as registered */
	struct vu_pool_listing objects; /* owned */
	struct vu_moment_env *moment;	/* borrowed, while the tree is removed */
	enum state state;
	char *root; /* owned; where it is now; of one that is gone: what is nearest to it */
	char place[VU_TREE_NAME_MAX];
};

static struct vu_pool *pool_of(const struct removal *m)
{
	return m->session.guests.n ? m->session.fs[m->session.guest_fs[0]].pool : NULL;
}

/* ---- which, and where it is ---- */

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)
VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)

static int find_guest(struct removal *m)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	_cleanup_free_ char *real = realpath(m->o->guest, NULL);
	struct vu_session s;
	int r = vu_session_open_catalog(&s, m->ops, 0);

	if (!r)
		r = vu_session_known_guests(&s, &known);
	vu_session_close(&s);
	if (r)
		return r;
	struct vu_guest *g = vu_guests_find(&known, m->o->guest);

	if (!g && real)
		g = vu_guests_find(&known, real);
	if (!g)
		return vu_fail(m->ops, VU_OPS_USAGE, "no such guest", m->o->guest,
			       "it is not registered", "see `vunify guests`");
	m->guest = *g;
	*g = known.v[--known.n];
	m->report->guest = strdup(m->guest.name);
	m->report->path = strdup(m->guest.path);
	return m->report->guest && m->report->path ? 0 : -ENOMEM;
}

/* Is the directory behind fd the root of the guest? */
static bool is_root(const struct removal *m, int fd)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount mount = {0};
	struct vu_stat st;

	return fd >= 0 && !vu_stat_fd(fd, &st) && st.version.ino == m->guest.ino &&
	       !vu_mount_of(fd, &mount) && !strcmp(mount.fs_id, m->guest.fs_id);
}

/* The directory above path that is there; path is cut. */
static int open_above(char *path)
{
	for (;;) {
		char *slash = strrchr(path, '/');
		int fd;

		if (!slash)
			return -ENOENT;
		*slash = 0;
		fd = open(*path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 || errno != ENOENT)
			return fd < 0 ? -errno : fd;
	}
}

/* Its root is not at its path: in the pool, or gone. */
static int find_elsewhere(struct removal *m)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount mount = {0};
	_cleanup_free_ char *above = strdup(m->guest.path);
	_cleanup_fd_ int dir = above ? open_above(above) : -ENOMEM;
	int r = dir < 0 ? dir : vu_mount_of(dir, &mount);

	if (r)
		return r;
	if (strcmp(mount.fs_id, m->guest.fs_id) != 0)
		return vu_fail(m->ops, VU_OPS_REFUSED, "cannot remove the guest", m->guest.name,
			       "its root is not there, and the file system neither on which it was",
			       "mount that; or `vunify guests remove` it if both are gone");
	if (asprintf(&m->root, "%s/.vunify/trees/%s/" ROOT,
		     strcmp(mount.point, "/") != 0 ? mount.point : "", m->place) < 0)
		return -ENOMEM;
	_cleanup_fd_ int fd = open(m->root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (is_root(m, fd)) {
		m->state = STATE_GOING;
		return 0;
	}
	m->state = STATE_GONE;
	return 0;
}

static int find_root(struct removal *m)
{
	_cleanup_fd_ int fd = open(m->guest.path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = vu_trees_name(VU_TREE_REMOVED, m->guest.ino, m->place);

	if (r)
		return r;
	if (!strcmp(m->guest.path, "/"))
		return vu_fail(m->ops, VU_OPS_REFUSED, "cannot remove the guest", m->guest.name,
			       "it is the host itself", NULL);
	if (is_root(m, fd)) {
		m->root = strdup(m->guest.path);
		return m->root ? 0 : -ENOMEM;
	}
	if (fd >= 0 || errno != ENOENT)
		return vu_fail(m->ops, fd >= 0 ? VU_OPS_REFUSED : -errno, "cannot remove the guest",
			       m->guest.name,
			       fd >= 0 ? "another directory stands where its root was" : NULL,
			       "see `vunify guests`; `vunify guests remove` forgets it");
	return find_elsewhere(m);
}

/* ---- the run ---- */

static int open_pool(struct removal *m)
{
	int r = vu_session_find_pools(&m->session);

	if (r || m->o->dry_run)
		return r;
	/* for its place there has to be one, also where nothing is shared */
	r = pool_of(m) ? 0 : vu_session_open_pools(&m->session, true);
	return r ? r : vu_session_lock_pools(&m->session);
}

static int open_all(struct removal *m)
{
	char *operand = m->root;
	int r = m->state == STATE_GONE
			? vu_session_open_catalog(&m->session, m->ops, VU_SESSION_WRITE)
			: vu_session_open(&m->session, m->ops, VU_SESSION_WRITE, &operand, 1);

	if (r || m->state == STATE_GONE)
		return r;
	r = open_pool(m);
	if (!r)
		r = vu_eviction_open(&m->eviction, &m->session);
	if (!r)
		r = vu_run_begin(&m->session, "remove", m->o->dry_run, &m->run);
	return r;
}

static int fail_rename(struct removal *m, int r)
{
	return vu_fail(m->ops, r == -EXDEV || r == -EBUSY ? VU_OPS_REFUSED : r,
		       "cannot take the root away", m->guest.path,
		       r == -EXDEV   ? "it is on another mount than its pool"
		       : r == -EBUSY ? "something is mounted on it"
				     : strerror(-r),
		       "nothing was removed");
}

/* From its path to its place, or back. */
static int rename_root(struct removal *m, int place, bool back)
{
	_cleanup_free_ char *above = strdup(m->guest.path);
	_cleanup_fd_ int dir = above ? open_above(above) : -ENOMEM;
	const char *base = strrchr(m->guest.path, '/') + 1;
	int r;

	if (dir < 0)
		return dir;
	r = back ? renameat2(place, ROOT, dir, base, RENAME_NOREPLACE)
		 : renameat2(dir, base, place, ROOT, RENAME_NOREPLACE);
	return r ? -errno : 0;
}

/* What was renamed may be another directory by then; or somebody was started in it just before. */
static int check_taken(struct removal *m, int place)
{
	_cleanup_fd_ int fd = openat(place, ROOT, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = is_root(m, fd)
			? vu_leaving_check_idle(&m->session, 0)
			: vu_fail(m->ops, VU_OPS_REFUSED, "cannot remove the guest", m->guest.name,
				  "somebody replaced its root just now", "run it again");

	if (r && rename_root(m, place, true))
		return vu_fail(m->ops, VU_OPS_REFUSED, "cannot put the guest back", m->guest.name,
			       "it was started while it was being removed, and its place is taken",
			       "stop it and run this again: its root is in .vunify/trees");
	return r;
}

static int take_root(struct removal *m)
{
	struct vu_pool *pool = pool_of(m);
	_cleanup_fd_ int place = vu_trees_make(pool, m->place);
	int r = place < 0 ? place : rename_root(m, place, false);

	if (place < 0)
		return vu_fail(m->ops, r == -ENOSPC || r == -EDQUOT ? VU_OPS_NO_SPACE : r,
			       "cannot make a place in the pool for", m->guest.path, strerror(-r),
			       "nothing was removed");
	r = r ? fail_rename(m, r) : check_taken(m, place);
	if (r)
		vu_trees_drop(pool, m->place);
	return r;
}

/* Threads that take names at the same time tell things, too. */
static void tell_failed(void *arg, const char *name, int err)
{
	struct removal *m = arg;

	vu_moment_emit(m->moment, &(struct vu_event){
					  .kind = VU_EVENT_WARN,
					  .guest = m->guest.name,
					  .err = err == -ETXTBSY ? 0 : err,
					  .path = name,
					  .text = err == -ETXTBSY ? "somebody has it open for "
								    "writing, or works on it"
								  : "this cannot be removed",
				  });
}

static int explain(struct removal *m, int r)
{
	switch (r) {
	case 0:
		return 0;
	case -ECANCELED:
		return vu_fail(m->ops, VU_OPS_CANCELLED, "stopped", m->guest.name,
			       "a part of it is gone, and the other guests have what they had",
			       "run it again: it goes on from here");
	case -ENOTEMPTY:
		return vu_fail(m->ops, r, "cannot remove all of the guest", m->guest.name,
			       "some of it is still there, see the warnings before this",
			       "run it again when they are seen to");
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(m->ops, VU_OPS_NO_SPACE, "cannot go on removing", m->guest.name,
			       strerror(-r), "free some space and run it again");
	default:
		return vu_fail(m->ops, r, "cannot go on removing", m->guest.name, NULL,
			       "run it again, or `vunify recover`");
	}
}

static int remove_tree(struct removal *m)
{
	struct vu_moment_env moment;
	struct vu_rmtree_stats stats = {0};
	struct vu_rmtree_env env = {
		.pool = pool_of(m),
		.objects = &m->objects,
		.moment = &moment,
		.jobs = vu_farm_jobs(m->ops->config),
		.progress = m->ops->progress,
		.failed = tell_failed,
		.arg = m,
	};
	const struct vu_remove_report *p = m->report;

	if (m->ops->progress)
		vu_progress_begin(m->ops->progress, VU_PHASE_REMOVE, p->names + p->files + p->dirs,
				  0);
	vu_moment_env_init(&moment, &m->session.counting, VU_XATTR_ANY);
	moment.watch = &m->eviction.watch;
	m->moment = &moment;
	int r = vu_trees_remove(&env, m->place, &stats);

	m->report->names = stats.names;
	m->report->files = stats.files;
	m->report->dirs = stats.dirs;
	m->report->objects_removed = stats.objects_removed;
	m->moment = NULL;
	vu_moment_env_done(&moment);
	return explain(m, r);
}

static int forget(struct removal *m)
{
	int r = vu_catalog_guest_remove(m->session.catalog, m->guest.id);

	return r ? vu_session_catalog_failed(&m->session, r) : 0;
}

/* Its root is in the pool, if recovery has not removed it by now. */
static int go_on(struct removal *m)
{
	_cleanup_fd_ int place = vu_trees_open(pool_of(m), m->place);

	if (place == -ENOENT)
		return 0;
	return place < 0 ? explain(m, place) : remove_tree(m);
}

static int begin(struct removal *m)
{
	int r = vu_leaving_check_idle(&m->session, 0);

	if (!r)
		r = vu_leaving_check_tree(&m->session, 0, &m->objects, m->report);
	if (!r && !m->o->dry_run && m->o->confirm && !m->o->confirm(m->o->arg, m->report))
		r = vu_fail(m->ops, -EPERM, "not removed", m->guest.name, "it was not confirmed",
			    NULL);
	if (!r && !m->o->dry_run)
		r = take_root(m);
	return r;
}

static int run(struct removal *m)
{
	int r = 0, e;

	if (m->state == STATE_GONE)
		return m->o->dry_run ? 0 : forget(m);
	r = vu_recovery_before_run(&m->eviction, m->o->dry_run);
	if (!r && pool_of(m))
		r = vu_pool_listing_read(&m->objects, pool_of(m));
	if (!r && m->state == STATE_THERE)
		r = begin(m);
	if (r || m->o->dry_run)
		return r;
	r = go_on(m);
	e = vu_eviction_run(&m->eviction, false);
	if (!r)
		r = forget(m);
	vu_pool_dissolve(pool_of(m)); /* if nothing is in it any more */
	return r ? r : e;
}

void vu_remove_report_done(struct vu_remove_report *r)
{
	free(r->guest);
	free(r->path);
	*r = (struct vu_remove_report){0};
}

static void finish(struct removal *m, int r)
{
	struct vu_remove_report *p = m->report;

	p->frozen = vu_freezer_stats(m->eviction.freezing.freezer);
	p->seconds = vu_run_seconds(&m->run);
	m->run.names = p->names + p->files;
	vu_run_end(&m->session, &m->run, NULL, 0, r);
	p->warnings = m->session.warnings;
	p->damages = m->session.damages;
	vu_eviction_close(&m->eviction);
	vu_session_close(&m->session);
	vu_pool_listing_done(&m->objects);
	vu_guest_done(&m->guest);
	free(m->root);
}

int vu_ops_remove(struct vu_ops *ops, const struct vu_remove_options *o,
		  struct vu_remove_report *ret_report)
{
	struct removal m = {
		.ops = ops,
		.o = o,
		.report = ret_report,
		.session = {.lock_fd = -EBADF},
	};
	int r;

	*ret_report = (struct vu_remove_report){0};
	r = find_guest(&m);
	if (!r)
		r = find_root(&m);
	if (!r)
		r = open_all(&m);
	if (!r)
		r = run(&m);
	if (r < 0 && !ops->problem->what)
		r = vu_fail(ops, r == -ECANCELED ? VU_OPS_CANCELLED : r, "cannot remove the guest",
			    o->guest, NULL, NULL);
	finish(&m, r);
	return r;
}
