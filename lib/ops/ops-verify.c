/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is damage (exit 4), what a warning (3), and what is only noted:
 *
 *   damage   an object that is not what its name says, that cannot be read, or that is not immutable while nobody
 *            works on it; and each name that a guest has of one
 *   warning  names in the pool that vunify did not make; a run that was cut short; an object that is sound, but of
 *            which the catalog says something else (scan will not use it)
 *   noted    names outside of the registered guests, objects without a guest, names that the catalog does
 *            not know or that are gone: guests live
 *
 * The locks of the catalog and the pools are held, as by a scan: guests and who breaks links for them go on.
 * Where a file system is read-only (after an error of the disk, say) there is nothing to lock.
 */
#include "ops/ops-verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "db/catalog-tree.h"
#include "link/recover.h"
#include "ops/recovery.h"
#include "ops/run.h"
#include "ops/verify-names.h"
#include "ops/verify-pool.h"
#include "ops/verify-repair.h"

struct verify {
	struct vu_ops *ops;
	const struct vu_verify_options *o;
	struct vu_session session;
	struct vu_eviction eviction;
	struct vu_run run;
	struct vu_verify_env env;
	struct vu_tree *recorded;      /* owned; or NULL: there is no catalog */
	struct vu_checked_pool *pools; /* owned; one for each file system */
	struct vu_inomap *in_catalog;  /* the same: inode number -> number in recorded */
	struct vu_verify_names names;
	struct vu_verify_report *report;
};

/* ---- the place where it stopped ---- */

/* What the catalog keeps it by. The caller's, or NULL. */
static char *place_key(const struct verify *v, size_t fs)
{
	char *key = NULL;
	const struct vu_subset *s = &v->o->subset;

	return asprintf(&key, "verify %u/%u %s", s->n ? s->k : 1, s->n ? s->n : 1,
			v->session.fs[fs].mount.fs_id) < 0
		       ? NULL
		       : key;
}

static int place_get(struct verify *v, size_t fs, uint64_t *ret)
{
	_cleanup_free_ char *key = place_key(v, fs);
	int64_t at = 0;

	*ret = 0;
	if (!key)
		return -ENOMEM;
	if (!v->o->resume || !v->session.catalog)
		return 0;
	int r = vu_catalog_meta_get(v->session.catalog, key, &at);

	if (r)
		return vu_session_catalog_lost(&v->session, r);
	*ret = at > 0 ? (uint64_t)at : 0;
	return 0;
}

static void tell(struct verify *v, enum vu_event_kind kind, const char *path, const char *text)
{
	vu_emit(&v->session.counting, &(struct vu_event){.kind = kind, .path = path, .text = text});
}

static int place_set(struct verify *v, size_t fs, uint64_t at)
{
	_cleanup_free_ char *key = place_key(v, fs);
	int64_t before = 0;
	int r = 0;

	if (!key)
		return -ENOMEM;
	if (v->o->dry_run)
		return 0;
	if (!v->session.catalog) {
		if (at)
			tell(v, VU_EVENT_WARN, NULL,
			     "there is no catalog to keep the place in: --resume begins anew");
		return 0;
	}
	r = vu_catalog_meta_get(v->session.catalog, key, &before);
	if (!r && (uint64_t)before != at)
		r = vu_catalog_meta_set(v->session.catalog, key, (int64_t)at);
	return r ? vu_session_catalog_lost(&v->session, r) : 0;
}

/* ---- the pools ---- */

static int tell_stranger(void *arg, const char *path)
{
	struct verify *v = arg;

	v->report->strangers++;
	tell(v, VU_EVENT_WARN, path,
	     "nothing that vunify made: it is not used; look at it, and remove it by hand");
	return 0;
}

static void add_up(struct verify *v, const struct vu_checked_pool *p)
{
	v->report->pools++;
	v->report->objects += p->n;
	v->report->verified += p->read;
	v->report->bytes += p->bytes;
	v->report->open += p->open;
	v->report->strangers += p->odd;
	v->report->rescued += p->rescued;
	v->report->misrecorded += p->record;
	v->report->unrecorded += p->unknown;
	v->report->complete = v->report->complete && !p->next;
}

static int check_pool(struct verify *v, size_t fs)
{
	uint64_t from;
	int r = place_get(v, fs, &from);

	if (!r && v->recorded && v->session.catalog) {
		r = vu_catalog_load_objects(v->session.catalog, v->session.fs[fs].mount.fs_id,
					    (uint16_t)fs, v->recorded, &v->in_catalog[fs]);
		if (r)
			r = vu_session_catalog_lost(&v->session, r);
	}
	if (r)
		return r;
	v->env.tree = v->session.catalog ? v->recorded : NULL;
	r = vu_verify_pool(&v->env, fs, &v->in_catalog[fs], from, &v->pools[fs]);
	add_up(v, &v->pools[fs]);
	/* a stop is a place to go on from as well */
	int e = r && r != -ECANCELED ? 0 : place_set(v, fs, v->pools[fs].next);

	return r ? r : e;
}

VU_DEFINE_CLEANUP(struct vu_tree *, vu_tree_free)

/* Contents and attributes, which the rows of objects speak of. */
static int load_catalog(struct verify *v)
{
	const struct vu_guests none = {0};
	vu_cleanup(vu_tree_free_p) struct vu_tree *t = vu_tree_new();

	if (!t)
		return -ENOMEM;
	if (!v->session.catalog)
		return 0;
	int r = vu_catalog_load_tree(v->session.catalog, &none, t);

	if (r)
		return vu_session_catalog_lost(&v->session, r);
	v->recorded = vu_take_ptr(t);
	return 0;
}

static int check_pools(struct verify *v)
{
	v->env = (struct vu_verify_env){
		.session = &v->session,
		.domains = v->eviction.domains,
		.subset = v->o->subset,
		.deadline_ns = v->o->max_ns ? (uint64_t)vu_clock_ns() + v->o->max_ns : 0,
		.repair = v->o->repair && !v->o->dry_run,
		.stranger = tell_stranger,
		.arg = v,
	};
	int r = load_catalog(v);

	v->report->complete = !r;
	for (size_t i = 0; !r && i < v->session.n_fs; i++)
		if (v->session.fs[i].pool)
			r = check_pool(v, i);
	if (!r && v->report->misrecorded)
		tell(v, VU_EVENT_WARN, NULL,
		     "the catalog says of some sound objects what is not so, and scan does not use them: run "
		     "`vunify recover --rebuild-catalog`");
	return r;
}

static int look_about(struct verify *v)
{
	int r = 0;

	for (size_t i = 0; !r && i < v->session.n_fs; i++) {
		const struct vu_pool *pool = v->session.fs[i].pool;
		int needed = pool ? vu_recover_is_left(pool) : 0;

		if (needed > 0)
			tell(v, VU_EVENT_WARN, NULL,
			     "an earlier run was cut short: run `vunify recover`");
		r = VU_MIN(needed, 0);
	}
	return r;
}

static int check_names(struct verify *v)
{
	int r = vu_verify_names_find(&v->names, &v->env, v->pools);

	for (size_t p = 0; p < v->session.n_fs; p++)
		for (uint32_t i = 0; i < v->pools[p].n; i++)
			v->report->damaged += !!(v->pools[p].v[i].flags & VU_CHECKED_BAD);

	v->report->names = v->names.names;
	v->report->outside = v->names.outside;
	v->report->unnamed = v->names.unnamed;
	v->report->names_unknown = v->names.unrecorded;
	v->report->names_recorded = v->names.recorded_others;
	return r;
}

/* ---- the run ---- */

static bool is_read_only(const struct vu_session *s)
{
	for (size_t i = 0; i < s->n_fs; i++)
		if (s->fs[i].pool && s->fs[i].mount.read_only)
			return true;
	return false;
}

static int open_all(struct verify *v)
{
	struct vu_session *s = &v->session;
	int r = vu_session_open(s, v->ops, VU_SESSION_WRITE | VU_SESSION_NO_CATALOG, v->o->roots,
				v->o->n_roots);

	if (!r)
		r = vu_session_find_pools(s);
	if (!r && (v->o->repair || !is_read_only(s)))
		r = vu_session_lock_pools(s);
	if (!r)
		r = vu_run_begin(s, "verify", v->o->dry_run, &v->run);
	if (!r)
		r = vu_eviction_open(&v->eviction, s);
	if (!r && v->o->repair && !v->o->dry_run)
		r = vu_recovery_before_run(&v->eviction, false);
	s->damages = r ? s->damages : 0; /* what recovery has found is looked at, and told, again */
	v->pools = calloc(s->n_fs + 1, sizeof(*v->pools));
	v->in_catalog = calloc(s->n_fs + 1, sizeof(*v->in_catalog));
	return r || (v->pools && v->in_catalog) ? r : -ENOMEM;
}

static int repair(struct verify *v)
{
	struct vu_repair rep = {
		.env = &v->env,
		.eviction = &v->eviction,
		.names = &v->names,
		.pools = v->pools,
		.recorded = v->in_catalog,
		.from = v->o->from,
		.dry_run = v->o->dry_run,
	};
	int r = vu_verify_repair(&rep);

	v->report->repaired = rep.repaired;
	v->report->quarantined = rep.quarantined;
	if (r == -ENOSPC || r == -EDQUOT)
		return vu_fail(v->ops, VU_OPS_NO_SPACE, "cannot repair", NULL, strerror(-r),
			       "free some space and run it again: nothing is lost");
	return r;
}

static int verify(struct verify *v)
{
	int r = check_pools(v);

	if (!r)
		r = look_about(v);
	if (!r)
		r = check_names(v);
	if (r) /* what is in doubt stays so, and is told */
		vu_verify_names_settle(&v->env, v->pools);
	if (!r && v->o->repair)
		r = repair(v);
	if (!r)
		vu_verify_names_tell(
			&v->names, &v->session, v->pools,
			v->o->repair && !v->o->dry_run
				? "this is a name of a damaged object: give it a copy of its "
				  "own by `vunify unmerge`, then put the file back from its "
				  "package or a backup"
				: "this is a name of a damaged object: run `vunify verify "
				  "--repair`");
	return r;
}

static int explain(struct verify *v, int r)
{
	if (r == -ECANCELED)
		return vu_fail(v->ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "`vunify verify --resume` goes on from here", NULL);
	if (r < 0 && !v->ops->problem->what)
		return vu_fail(v->ops, r, "cannot verify", NULL, NULL, NULL);
	return r;
}

static void close_all(struct verify *v)
{
	vu_verify_names_done(&v->names);
	for (size_t i = 0; v->pools && i < v->session.n_fs; i++)
		vu_checked_pool_done(&v->pools[i]);
	for (size_t i = 0; v->in_catalog && i < v->session.n_fs; i++)
		vu_inomap_done(&v->in_catalog[i]);
	free(v->pools);
	free(v->in_catalog);
	vu_tree_free(v->recorded);
	vu_eviction_close(&v->eviction);
	vu_session_close(&v->session);
}

int vu_ops_verify(struct vu_ops *ops, const struct vu_verify_options *o,
		  struct vu_verify_report *ret_report)
{
	struct verify v = {
		.ops = ops,
		.o = o,
		.session = {.lock_fd = -EBADF},
		.names = {.all = {.lock_fd = -EBADF}},
		.report = ret_report,
	};

	*ret_report = (struct vu_verify_report){0};
	int r = open_all(&v);

	if (!r)
		r = verify(&v);
	r = explain(&v, r);
	ret_report->damages = v.session.damages;
	if (v.run.started_ns)
		ret_report->seconds = vu_run_seconds(&v.run);
	v.run.read_files = ret_report->verified;
	v.run.read_bytes = v.run.hashed_bytes = ret_report->bytes;
	vu_run_end(&v.session, &v.run, NULL, 0, r);
	ret_report->warnings = v.session.warnings;
	close_all(&v);
	return r;
}
