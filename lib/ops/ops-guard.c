/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "link/recover.h"
#include "lsm/keep.h"
#include "lsm/lsm.h"
#include "ops/guard-cow.h"
#include "ops/ops-recover.h"
#include "ops/session.h"

#define SWEEP_SECONDS 2 /* between looks for new objects */

struct guarded {
	struct vu_pool *pool; /* owned */
	struct vu_keep *keep; /* owned */
	struct vu_keep_stats stats;
};

struct guarding {
	struct vu_ops *ops;
	const struct vu_guard_options *o;
	struct vu_lsm *lsm; /* owned */
	char **points;	    /* owned, with its strings: mount points */
	struct guarded *v;  /* owned; one for each point */
	size_t n;
	struct vu_guard_cow *cow; /* owned; or NULL: who opens an object for writing is refused */
};

VU_DEFINE_CLEANUP_DONE(struct vu_session, vu_session_close)

static int fail(const struct guarding *g, int code, const char *on, const char *why,
		const char *todo)
{
	return vu_fail(g->ops, code, "cannot guard objects", on, why, todo);
}

static void tell(const struct guarding *g, const char *path, const char *text)
{
	vu_emit(g->ops->sink,
		&(struct vu_event){.kind = VU_EVENT_WARN, .path = path, .text = text});
}

/* ---- pools ---- */

static int add_point(struct guarding *g, const char *point)
{
	char **v = reallocarray(g->points, g->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	g->points = v;
	v[g->n] = strdup(point);
	return v[g->n++] ? 0 : -ENOMEM;
}

/* Of the registered guests; where a run was cut short, that is put right first. */
static int find_points(struct guarding *g)
{
	vu_cleanup(vu_session_close_p) struct vu_session s = {.lock_fd = -EBADF};
	bool needed = false;
	int r = vu_session_open(&s, g->ops, VU_SESSION_NO_CATALOG, NULL, 0);

	if (!r)
		r = vu_session_find_pools(&s);
	for (size_t i = 0; !r && i < s.n_fs; i++) {
		if (!s.fs[i].pool)
			continue;
		r = add_point(g, vu_pool_mount_point(s.fs[i].pool));
		needed = needed || vu_recover_is_needed(s.fs[i].pool) == 1;
	}
	if (r || !needed)
		return r;
	struct vu_recover_report report = {0};

	r = vu_ops_recover(g->ops, &(struct vu_recover_options){0}, &report);
	if (r == VU_OPS_LOCKED) { /* a linker is at work, and has done it */
		vu_problem_done(g->ops->problem);
		r = 0;
	}
	return r;
}

static int collect_points(struct guarding *g)
{
	int r = g->o->n_pools ? 0 : find_points(g);

	for (size_t i = 0; !r && i < g->o->n_pools; i++)
		r = add_point(g, g->o->pools[i]);
	if (!r && !g->n)
		return fail(g, VU_OPS_NOT_SET_UP, NULL, "no pool is known",
			    "run `vunify scan` first, or name a mount point by --pool");
	return r;
}

static int open_pool(const struct guarding *g, const char *point, struct guarded *v)
{
	_cleanup_free_ char *why = NULL;
	int r = vu_pool_open_path(point, VU_POOL_SHARE, &v->pool, &why);

	if (r == VU_POOL_MISSING)
		return fail(g, VU_OPS_NOT_SET_UP, point, "there is no pool",
			    "run `vunify scan` first");
	if (r)
		return fail(g, r > 0 ? VU_OPS_REFUSED : r, point, why, NULL);
	struct vu_held *held =
		g->cow ? vu_guard_cow_add_pool(g->cow, point, vu_lsm_marks(g->lsm)) : NULL;

	if (g->cow && !held)
		return -ENOMEM;
	r = vu_keep_new(v->pool, vu_lsm_marks(g->lsm), held, &v->keep);
	if (r == VU_KEEP_UNGUARDED)
		return fail(g, VU_OPS_REFUSED, point,
			    "tried on a file of the pool's own, the guard does not refuse what it "
			    "should",
			    "leave the immutable flags as they are, which do");
	return r ? fail(g, r, point, NULL, NULL) : 0;
}

static int open_pools(struct guarding *g)
{
	int r = 0;

	g->v = calloc(g->n + 1, sizeof(*g->v));
	if (!g->v)
		return -ENOMEM;
	for (size_t i = 0; !r && i < g->n; i++)
		r = open_pool(g, g->points[i], &g->v[i]);
	return r;
}

/* ---- while it is in force ---- */

static int sweep(struct guarding *g)
{
	int r = 0;

	for (size_t i = 0; !r && i < g->n; i++) {
		struct vu_keep_stats before = g->v[i].stats, *now = &g->v[i].stats;

		r = vu_keep_sweep(g->v[i].keep, now);
		if (r == VU_KEEP_UNGUARDED)
			return fail(g, VU_OPS_REFUSED, g->points[i],
				    "the guard refuses nothing any more; the object has its flag",
				    "see that nobody has touched /sys/fs/bpf/vunify");
		if (r)
			return fail(g, r, g->points[i], NULL, NULL);
		if (now->bare > before.bare)
			tell(g, g->points[i],
			     "objects have neither a mark nor their flag: run `vunify recover`");
		if (now->full && !before.full)
			tell(g, g->points[i],
			     "there is no room for more marks: further objects keep their flag");
		if (now->unheld && !before.unheld)
			tell(g, g->points[i],
			     "there are not enough descriptors (RLIMIT_NOFILE) for a lease on each object: who opens "
			     "one of the others for writing gets no copy, but is refused");
		if (now->failed > before.failed)
			tell(g, g->points[i], strerror(-now->error));
	}
	return r;
}

static void sum_up(const struct guarding *g, struct vu_guard_report *ret)
{
	*ret = (struct vu_guard_report){.pools = g->n, .copies = g->cow};
	for (size_t i = 0; g->v && i < g->n; i++)
		ret->copies = ret->copies && g->v[i].keep && vu_keep_makes_copies(g->v[i].keep);
	for (size_t i = 0; g->v && i < g->n; i++) {
		ret->guarded += g->v[i].stats.guarded;
		ret->flagged += g->v[i].stats.flagged;
		ret->full += g->v[i].stats.full;
	}
}

static int serve(struct guarding *g)
{
	struct vu_guard_report report;
	int r = sweep(g);

	sum_up(g, &report);
	if (!r && g->o->ready)
		g->o->ready(g->o->arg, &report);
	while (!r && !vu_stop_requested()) {
		if (g->cow)
			r = vu_guard_cow_serve(g->cow, INT64_C(1000) * SWEEP_SECONDS);
		else
			nanosleep(&(struct timespec){.tv_sec = SWEEP_SECONDS}, NULL);
		if (!r && !vu_stop_requested())
			r = sweep(g);
	}
	return r;
}

/* Where the kernel has what it takes. */
static int begin_copies(struct guarding *g)
{
	struct vu_lsm_asking asking;

	if (g->o->off || !g->o->command || !vu_lsm_asks(g->lsm, &asking))
		return 0;
	return vu_guard_cow_new(g->ops, &asking, g->o->command, g->o->n_command, &g->cow);
}

/* ---- the way back ---- */

/* Returns 0, VU_LSM_MARKED where something has to stay under the guard, or a negative errno. */
static int give_flags(struct guarding *g)
{
	int r = 0;

	for (size_t i = 0; i < g->n; i++) {
		if (!g->v || !g->v[i].keep) /* it could not be opened: its marks stay */
			continue;
		int e = vu_keep_release(g->v[i].keep, &g->v[i].stats);

		if (e)
			tell(g, g->points[i],
			     e < 0 ? strerror(-e)
				   : "not all objects could be given their flag: they stay under "
				     "the guard");
		r = r ? r : VU_MIN(e, 0);
	}
	return r ? r : vu_lsm_end(g->lsm);
}

static int end(struct guarding *g)
{
	int r = give_flags(g);

	if (r < 0)
		return fail(g, r, NULL, NULL, NULL);
	if (r)
		return vu_fail(
			g->ops, VU_OPS_REFUSED, "the guard stays in force", NULL,
			"there are objects under it still, perhaps on a file system that is "
			"not mounted or was not named",
			"run `vunify cowd --lsm --off`, with --pool for each of them; if one is "
			"gone for good, remove /sys/fs/bpf/vunify");
	return 0;
}

static void end_copies(struct guarding *g)
{
	for (size_t i = 0; g->v && i < g->n; i++)
		if (g->v[i].keep)
			vu_keep_let_go(g->v[i].keep);
	g->cow = vu_guard_cow_free(g->cow);
}

static int enter(struct guarding *g)
{
	_cleanup_free_ char *why = NULL;
	int r = vu_lsm_enter(&g->lsm, &why);

	if (!r)
		return 0;
	return r == VU_LSM_BUSY
		       ? fail(g, VU_OPS_LOCKED, NULL, why, "end that one first")
		       : fail(g, r > 0 ? VU_OPS_REFUSED : r, NULL, why,
			      "use `vunify run`, or leave the immutable flags as they are");
}

static int run(struct guarding *g)
{
	int r = enter(g);

	if (r)
		return r;
	r = collect_points(g);
	if (!r)
		r = begin_copies(g);
	if (!r)
		r = open_pools(g);
	if (!r && !g->o->off)
		r = serve(g);
	/* before flags come back: who waits is refused */
	end_copies(g);
	if (g->o->stays && !g->o->off)
		return r;
	if (!r)
		return end(g);
	(void)give_flags(g); /* what failed is what is told */
	return r;
}

int vu_ops_guard(struct vu_ops *ops, const struct vu_guard_options *o,
		 struct vu_guard_report *ret_report)
{
	struct guarding g = {.ops = ops, .o = o};
	int r = run(&g);

	sum_up(&g, ret_report);
	for (size_t i = 0; i < g.n; i++) {
		if (g.v) {
			vu_keep_free(g.v[i].keep);
			vu_pool_close(g.v[i].pool);
		}
		free(g.points[i]);
	}
	free(g.v);
	free(g.points);
	vu_lsm_free(g.lsm);
	if (r < 0 && !ops->problem->what)
		return fail(&g, r, NULL, NULL, NULL);
	return r;
}
