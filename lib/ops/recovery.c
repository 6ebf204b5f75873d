/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/recovery.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fs/stat.h"
#include "fs/xattr.h"

struct roots {
	struct vu_session *s;
	const struct vu_guests *known; /* that are registered */
	const char *fs_id;
	uint64_t dev; /* of the pool's file system */
	int opened;   /* owned; a root that is no guest of this session */
};

/* The root of a guest that a journal names: one of the session, else what stands at that path. */
static int root_of(void *arg, uint64_t ino, const char *path)
{
	struct roots *r = arg;
	struct vu_stat st;

	for (size_t i = 0; i < r->s->guests.n; i++)
		if (r->s->guests.v[i].ino == ino && r->s->guests.v[i].dev == r->dev)
			return r->s->root_fds[i];
	vu_close_p(&r->opened);
	r->opened = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r->opened < 0)
		return -errno;
	int e = vu_stat_fd(r->opened, &st);

	if (e)
		return e;
	return st.version.ino == ino && st.version.dev == r->dev ? r->opened : -ESTALE;
}

/* Without a catalog it cannot be told: one may be registered in that. */
static bool is_forgotten(void *arg, uint64_t ino)
{
	const struct roots *r = arg;

	for (size_t i = 0; i < r->known->n; i++)
		if (r->known->v[i].ino == ino && !strcmp(r->known->v[i].fs_id, r->fs_id))
			return false;
	return r->s->catalog != NULL;
}

static int recover_fs(struct vu_eviction *v, struct vu_session_fs *fs, bool dry_run,
		      struct vu_recover_stats *stats)
{
	struct vu_session *s = v->session;

	struct roots roots = {
		.s = s,
		.known = &v->known,
		.fs_id = fs->mount.fs_id,
		.dev = vu_pool_dev(fs->pool),
		.opened = -EBADF,
	};
	struct vu_recover_env env = {
		.root = root_of,
		.is_forgotten = is_forgotten,
		.root_arg = &roots,
		.domains = v->domains,
		.watch = &v->watch,
		.max_xattr_bytes = VU_XATTR_ANY,
		.sink = &s->counting,
		.dry_run = dry_run,
	};
	int r = vu_recover_run(fs->pool, &env, stats);

	vu_close_p(&roots.opened);
	if (r == -ECANCELED)
		return vu_fail(s->ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "everything is consistent, and the next run goes on from here",
			       NULL);
	if (r)
		return vu_fail(s->ops, r == -ENOSPC ? VU_OPS_NO_SPACE : r,
			       "cannot recover the pool on", fs->mount.point, strerror(-r),
			       "run `vunify recover` again");
	return 0;
}

/* Is it needed in a pool? NULL: it is. */
typedef int needed_fn(const struct vu_pool *pool);

static int recover_pools(struct vu_eviction *v, bool dry_run, needed_fn *needed,
			 struct vu_recover_stats *stats)
{
	struct vu_session *s = v->session;
	int r = 0;

	for (size_t i = 0; !r && i < s->n_fs; i++) {
		struct vu_session_fs *fs = &s->fs[i];

		if (!fs->pool)
			continue;
		if (needed) {
			int n = needed(fs->pool);

			if (n < 0)
				return n;
			if (!n)
				continue;
		}
		if (needed && dry_run)
			vu_emit(&s->counting,
				&(struct vu_event){
					.kind = VU_EVENT_WARN,
					.text = "an earlier run was cut short: a run would recover "
						"first, so what it links may differ from this",
				});
		else
			r = recover_fs(v, fs, dry_run, stats);
	}
	return r;
}

/*
 * Guests that a run has left frozen stay so until every object has its flag again: they would be in the
 * middle of its moment.
 */
static int recover(struct vu_eviction *v, bool dry_run, needed_fn *needed,
		   struct vu_recover_stats *stats)
{
	struct vu_freezer *freezer = v->watch.freezer;

	if (vu_freezing_is_left(v->session))
		v->watch.freezer = NULL; /* it has a record of its own, in the same place */
	int r = recover_pools(v, dry_run, needed, stats);

	if (!dry_run)
		vu_freezing_lift(v->session);
	v->watch.freezer = freezer;
	if (!r && !(needed && dry_run))
		r = vu_eviction_run(v, dry_run);
	return r;
}

int vu_recovery_awaited(const struct vu_ops *ops)
{
	return vu_fail(ops, -EBUSY, "cannot go on", NULL,
		       "what an earlier run left cannot be put right yet",
		       "see the warnings before this; run it again when they are seen to");
}

int vu_recovery_run(struct vu_eviction *e, bool dry_run, struct vu_recover_stats *stats)
{
	return recover(e, dry_run, NULL, stats);
}

int vu_recovery_before_run(struct vu_eviction *e, bool dry_run)
{
	struct vu_recover_stats stats = {0};

	return recover(e, dry_run, vu_recover_is_needed, &stats);
}

int vu_recovery_of_left(struct vu_eviction *e, bool dry_run)
{
	struct vu_recover_stats stats = {0};

	return recover(e, dry_run, vu_recover_is_left, &stats);
}
