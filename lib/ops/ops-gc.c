/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An object that only the pool has can be reached by nobody: guests have no name of it, and the pool is root's. That
 * its link count is 1 is asked when it is looked at, and again by link/pool.c with its flag off and its lease held:
 * what a scan or a guest may have done in between is seen there. The locks of the catalog and of the pools keep
 * linkers out; who breaks links beside it has claimed what he works on, which is then left for another time.
 *
 * Killed at any instant: objects are removed one by one, and each is there or not. The catalog follows in one
 * transaction; what it says too much is dropped by the next scan or gc.
 */
#include "ops/ops-gc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "base/want.h"
#include "db/catalog-gc.h"
#include "db/catalog-guest.h"
#include "fs/stat.h"
#include "fs/xattr.h"
#include "link/moment.h"
#include "link/pool-listing.h"
#include "link/quarantine.h"
#include "ops/recovery.h"
#include "ops/run.h"
#include "ops/session.h"

struct gc {
	struct vu_ops *ops;
	const struct vu_gc_options *o;
	struct vu_session session;
	struct vu_eviction eviction;
	struct vu_run run;
	struct vu_inomap *kept; /* owned; one for each file system: the objects that stay */
	struct vu_gc_report *report;
};

/* ---- guests that are gone ---- */

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)
VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)

/*
 * Is the guest's file system there, where it is known to have been, and the root is not? A disk that is not
 * mounted just now takes no guest with it.
 */
static bool is_gone(const struct vu_guest *g)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};
	_cleanup_free_ char *above = strdup(g->path);
	char *slash = above ? strrchr(above, '/') : NULL;
	struct vu_stat st;

	if (!vu_stat_at(AT_FDCWD, g->path, &st) && st.version.ino == g->ino)
		return false;
	if (!slash || slash == above)
		return false;
	*slash = 0;
	_cleanup_fd_ int fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && !vu_mount_of(fd, &m) && !strcmp(m.fs_id, g->fs_id);
}

static int forget(struct gc *c, struct vu_session *s, const struct vu_guest *g)
{
	int r = c->o->dry_run ? 0 : vu_catalog_guest_remove(s->catalog, g->id);

	if (r)
		return vu_session_catalog_failed(s, r);
	c->report->guests_forgotten++;
	vu_emit(c->ops->sink, &(struct vu_event){
				      .kind = VU_EVENT_DROP,
				      .guest = g->name,
				      .text = "its root is not there any more",
			      });
	return 0;
}

/* Before the session is opened, which would only say that they are not there. */
static int forget_guests(struct gc *c)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0};
	struct vu_session s;
	int r = vu_session_open_catalog(&s, c->ops, VU_SESSION_WRITE);

	if (!r)
		r = vu_session_known_guests(&s, &known);
	for (size_t i = 0; !r && i < known.n; i++)
		if (is_gone(&known.v[i]))
			r = forget(c, &s, &known.v[i]);
	vu_session_close(&s);
	return r;
}

/* ---- objects ---- */

static void tell(struct gc *c, enum vu_event_kind kind, const struct vu_key *key, uint64_t bytes,
		 int err, const char *text)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(key, name);
	vu_emit(&c->session.counting,
		&(struct vu_event){
			.kind = kind, .object = name, .size = bytes, .err = err, .text = text});
}

/* Does an error of one object end the run? */
static bool is_fatal(int r)
{
	return r == -EROFS || r == -ENOSPC || r == -EDQUOT || vu_is_want(r);
}

/* An object that no guest has. Returns 1 when it is gone (or would be), 0 when it stays, or errno. */
static int collect(struct gc *c, struct vu_moment_env *moment, const struct vu_pool *pool,
		   const struct vu_key *key, const struct vu_stat *st)
{
	int r = 0;

	if (!c->o->dry_run)
		r = vu_moment_remove_unused(moment, pool, key);
	else if (vu_claim_is_taken(vu_pool_claims(pool), st->version.ino) ||
		 vu_pool_object_slipped(pool, key))
		r = -EBUSY;
	if (r == -ENOENT)
		return 1;
	if (r == -EBUSY) {
		c->report->objects_busy++;
		tell(c, VU_EVENT_WARN, key, 0, 0,
		     "an object that no guest has is in use or open for writing, and stays for now");
		return 0;
	}
	if (r && !is_fatal(r))
		tell(c, VU_EVENT_WARN, key, 0, r, "an object that no guest has stays in the pool");
	if (r)
		return is_fatal(r) ? r : 0;
	c->report->objects_removed++;
	c->report->bytes_freed += st->blocks * 512;
	if (c->ops->per_file)
		tell(c, VU_EVENT_DROP, key, st->blocks * 512, 0, NULL);
	return 1;
}

static int look_at(struct gc *c, struct vu_moment_env *moment, size_t fs, const struct vu_key *key)
{
	const struct vu_pool *pool = c->session.fs[fs].pool;
	struct vu_stat st = {0};
	_cleanup_fd_ int fd = vu_pool_object_open(pool, key);
	int r = fd < 0 ? fd : vu_stat_fd(fd, &st);

	if (r == -ENOENT)
		return 0;
	if (r && !is_fatal(r)) {
		tell(c, VU_EVENT_WARN, key, 0, r, "an object cannot be looked at");
		return 0;
	}
	vu_close_p(&fd);
	fd = -EBADF;
	if (!r)
		c->report->objects++;
	if (!r && st.n_links == 1)
		r = collect(c, moment, pool, key, &st);
	if (r)
		return r > 0 ? 0 : r;
	return vu_inomap_set(&c->kept[fs], st.version.ino, 1);
}

static int collect_pool(struct gc *c, size_t fs)
{
	struct vu_pool_listing l = {0};
	struct vu_moment_env moment;
	int r = vu_pool_listing_read(&l, c->session.fs[fs].pool);

	vu_moment_env_init(&moment, &c->session.counting, VU_XATTR_ANY);
	moment.watch = &c->eviction.watch;
	c->report->pools++;
	if (c->ops->progress)
		vu_progress_begin(c->ops->progress, VU_PHASE_VERIFY, l.n, 0);
	for (uint32_t i = 0; !r && i < l.n; i++) {
		r = vu_stop_requested() ? -ECANCELED : look_at(c, &moment, fs, &l.keys[i]);
		if (c->ops->progress)
			vu_progress_add(c->ops->progress, 1, 0);
	}
	vu_moment_env_done(&moment);
	vu_pool_listing_done(&l);
	if (!r && !c->o->dry_run)
		vu_quarantine_sweep(c->session.fs[fs].pool);
	if (r && r != -ECANCELED)
		return vu_fail(c->ops, r == -ENOSPC || r == -EDQUOT ? VU_OPS_NO_SPACE : r,
			       "cannot collect objects on", c->session.fs[fs].mount.point,
			       strerror(-r), "run it again; nothing that a guest has is touched");
	return r;
}

/* ---- the catalog ---- */

static int collect_rows(struct gc *c)
{
	struct vu_session *s = &c->session;
	_cleanup_free_ struct vu_catalog_pool *pools = calloc(s->n_fs + 1, sizeof(*pools));
	struct vu_catalog_gone gone = {0};

	if (!s->catalog)
		return 0;
	if (!pools)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_fs; i++)
		pools[i] = (struct vu_catalog_pool){s->fs[i].mount.fs_id, &c->kept[i]};
	int r = vu_catalog_gc(s->catalog, c->o->dry_run, pools, s->n_fs, &gone);

	if (r)
		return vu_session_catalog_lost(s, r);
	c->report->rows_removed = gone.objects + gone.contents + gone.attrs + gone.others;
	return 0;
}

/* ---- the run ---- */

static int open_all(struct gc *c)
{
	bool dry = c->o->dry_run;
	int r = c->o->forget_guests ? forget_guests(c) : 0;

	if (!r)
		r = vu_session_open(&c->session, c->ops, VU_SESSION_WRITE | VU_SESSION_NO_CATALOG,
				    c->o->roots, c->o->n_roots);
	if (!r)
		r = vu_session_find_pools(&c->session);
	if (!r && !dry)
		r = vu_session_lock_pools(&c->session);
	if (!r)
		r = vu_run_begin(&c->session, "gc", dry, &c->run);
	if (!r)
		r = vu_eviction_open(&c->eviction, &c->session);
	if (!r)
		r = vu_recovery_before_run(&c->eviction, dry);
	c->kept = calloc(c->session.n_fs + 1, sizeof(*c->kept));
	return r || c->kept ? r : -ENOMEM;
}

static int collect_all(struct gc *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->session.n_fs; i++)
		if (c->session.fs[i].pool)
			r = collect_pool(c, i);
	if (!r)
		r = collect_rows(c);
	/* pools that hold nothing any more leave no trace; what cannot be removed does no harm */
	for (size_t i = 0; !r && !c->o->dry_run && i < c->session.n_fs; i++)
		if (c->session.fs[i].pool && !c->kept[i].n)
			vu_pool_dissolve(c->session.fs[i].pool);
	return r;
}

static int explain(struct gc *c, int r)
{
	if (r == -ECANCELED)
		return vu_fail(c->ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "the rest can be collected later", NULL);
	if (r < 0 && !c->ops->problem->what)
		return vu_fail(c->ops, r, "cannot collect", NULL, NULL, NULL);
	return r;
}

int vu_ops_gc(struct vu_ops *ops, const struct vu_gc_options *o, struct vu_gc_report *ret_report)
{
	struct gc c = {.ops = ops, .o = o, .session = {.lock_fd = -EBADF}, .report = ret_report};

	*ret_report = (struct vu_gc_report){0};
	int r = open_all(&c);

	if (!r)
		r = collect_all(&c);
	r = explain(&c, r);
	ret_report->damages = c.session.damages;
	if (c.run.started_ns)
		ret_report->seconds = vu_run_seconds(&c.run);
	vu_run_end(&c.session, &c.run, NULL, 0, r);
	ret_report->warnings = c.session.warnings;
	for (size_t i = 0; c.kept && i < c.session.n_fs; i++)
		vu_inomap_done(&c.kept[i]);
	free(c.kept);
	vu_eviction_close(&c.eviction);
	vu_session_close(&c.session);
	return r;
}
