/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * walk -> groups -> content -> policy, plan -> link -> catalog -> report. With dry_run everything but
 * the link step, so that both make the same plan from the same facts. A run that finds nothing to
 * decide (no new or changed file, no new object, none that was only busy the last time) ends after the
 * walk.
 */
#include "ops/ops-scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "db/catalog-apart.h"
#include "db/catalog-run.h"
#include "db/catalog-tree.h"
#include "link/linker.h"
#include "link/recover.h"
#include "link/reflink.h"
#include "ops/eviction.h"
#include "ops/farm.h"
#include "ops/idle.h"
#include "ops/recovery.h"
#include "ops/rules.h"
#include "ops/run.h"
#include "ops/scan-count.h"
#include "ops/scan-plan.h"
#include "ops/session.h"
#include "ops/template-note.h"

struct scan {
	struct vu_ops *ops;
	const struct vu_scan_options *o;
	struct vu_session session;
	struct vu_eviction eviction;
	struct vu_farm farm;
	struct vu_scan_plan planner;
	uint8_t *roles; /* owned; what the plan made of each inode, once it is done; or NULL */
	struct vu_linker_stats link;
	struct vu_run run;	    /* its row in the history */
	bool walked;		    /* the walk came to its end; or nothing has changed */
	struct vu_scan_guest *idle; /* owned; what holds, where nothing has changed; else NULL */
};

/* ---- before anything is read ---- */

static int check_file_systems(struct scan *s)
{
	bool reflink = s->ops->config->mode == VU_MODE_REFLINK;

	for (size_t i = 0; i < s->session.n_fs; i++) {
		const struct vu_mount *m = &s->session.fs[i].mount;
		_cleanup_free_ char *why = NULL;

		if (m->read_only && !s->o->dry_run)
			return vu_fail(s->ops, VU_OPS_REFUSED, "cannot unify on", m->point,
				       "it is mounted read-only", "remount it read-write");
		if (reflink ? vu_mount_can_reflink(m) : vu_mount_can_link(m))
			continue;
		if (asprintf(
			    &why,
			    reflink ? "%s shares no extents"
				    : "%s cannot hold what unifying needs: immutable files, leases "
				      "and hard links between guests",
			    m->type) < 0)
			return -ENOMEM;
		return vu_fail(
			s->ops, VU_OPS_REFUSED, "cannot unify on", m->point, why,
			reflink ? "use --mode=reflink on XFS or btrfs"
				: "keep the guests on ext4, XFS or btrfs; for overlays, name the "
				  "directories of the layers");
	}
	return 0;
}

static int prepare(struct scan *s)
{
	bool link = s->ops->config->mode == VU_MODE_LINK;
	unsigned whom = s->o->remerge ? VU_SESSION_LEAVE_OUT : VU_SESSION_REGISTER;
	int r = vu_session_open(&s->session, s->ops, VU_SESSION_WRITE | whom, s->o->roots,
				s->o->n_roots);

	if (!r)
		r = check_file_systems(s);
	if (!r)
		r = vu_session_register(&s->session);
	if (!r && link)
		r = vu_session_check_trust(&s->session, s->o->trust_guests);
	if (!r) /* reflink: what was unified before is known, and shared with */
		r = link ? vu_session_open_pools(&s->session, !s->o->dry_run)
			 : vu_session_find_pools(&s->session);
	if (!r && link)
		r = vu_eviction_open(&s->eviction, &s->session);
	if (!r && link && !s->o->remerge)
		r = vu_recovery_before_run(&s->eviction, s->o->dry_run);
	return r;
}

/* ---- what there is to decide ---- */

static bool is_private(const struct vu_inode *n)
{
	return !(n->flags & VU_INODE_OBJECT) && n->fate != VU_UNSEEN && n->fate != VU_GONE &&
	       n->first_name != VU_NONE;
}

/* An object that the catalog does not know: private files have not been compared with it. */
static bool is_new_object(const struct vu_inode *n)
{
	return n->flags & VU_INODE_OBJECT && (n->fate == VU_NEW || n->fate == VU_CHANGED);
}

static bool has_work(const struct vu_tree *t)
{
	for (uint32_t i = 0; i < t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(t, i);

		if (is_new_object(n))
			return true;
		if (is_private(n) && (vu_skip_is_momentary(n->skip) ||
				      (n->fate != VU_KEPT && vu_skip_is_relative(n->skip))))
			return true;
	}
	return false;
}

/* Returns the skips as they were before: what comes out the same is not written again. */
static uint8_t *reopen_questions(struct vu_tree *t)
{
	uint8_t *was = malloc((size_t)t->inodes.n + 1);

	for (uint32_t i = 0; was && i < t->inodes.n; i++) {
		struct vu_inode *n = vu_tree_inode(t, i);

		was[i] = n->skip;
		if (is_private(n) &&
		    (vu_skip_is_momentary(n->skip) || vu_skip_is_relative(n->skip)))
			n->skip = VU_SKIP_NONE;
	}
	return was;
}

static void mark_changed(struct vu_tree *t, const uint8_t *was, uint32_t n_before)
{
	for (uint32_t i = 0; i < n_before; i++) {
		struct vu_inode *n = vu_tree_inode(t, i);

		if (n->fate == VU_KEPT && n->skip != was[i])
			n->fate = VU_CHANGED;
	}
}

/* ---- link ---- */

static int link_plan(struct scan *s)
{
	const struct vu_config *c = s->ops->config;
	_cleanup_free_ struct vu_pool **pools = calloc(s->session.n_fs + 1, sizeof(*pools));

	if (!pools)
		return -ENOMEM;
	for (size_t i = 0; i < s->session.n_fs; i++)
		pools[i] = s->session.fs[i].pool;
	struct vu_linker_env env = {
		.tree = s->farm.tree,
		.guests = &s->session.guests,
		.root_fds = s->session.root_fds,
		.pools = pools,
		.jobs = vu_farm_jobs(c),
		.mtime_exact = c->mtime_exact,
		.max_xattr_bytes = c->max_xattr_bytes,
		.sink = &s->session.counting,
		.progress = s->ops->progress,
		.watch = &s->eviction.watch,
	};

	if (s->ops->progress)
		vu_progress_begin(s->ops->progress, VU_PHASE_LINK, s->planner.plan.n_names, 0);
	if (c->mode == VU_MODE_REFLINK)
		return vu_reflink_run(&env, &s->planner.plan, &s->link);
	int r = vu_linker_run(&env, &s->planner.plan, &s->link);

	return r == -EBUSY ? vu_recovery_awaited(s->ops) : r;
}

/*
 * The names of an inode that became an object in its place: their directories were not touched, so
 * nobody looks at them again, and they stay clean.
 */
static void count_adopted_names(struct vu_tree *t, const struct vu_inode *n)
{
	for (uint32_t i = n->first_name; i != VU_NONE; i = vu_tree_name(t, i)->next) {
		struct vu_dir *d = vu_tree_dir(t, vu_tree_name(t, i)->dir);

		if (vu_tree_name(t, i)->fate == VU_GONE || d->flags & VU_DIR_TOUCHED)
			continue;
		d->n_unified++;
		if (d->fate == VU_KEPT)
			d->fate = VU_CHANGED;
	}
}

/* The objects made in this run belong to the set by which the walk knows unified names. */
static int note_new_objects(struct scan *s)
{
	struct vu_tree *t = s->farm.tree;
	int r = 0;

	for (uint32_t i = 0; !r && i < t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(t, i);

		if (!(n->flags & VU_INODE_ADOPTED))
			continue;
		r = vu_inomap_set(&s->farm.objects[n->fs], n->ino, i);
		count_adopted_names(t, n);
	}
	return r;
}

/*
 * Touched directories are read once more, so that the next run finds them clean. Their timestamps are
 * those of the last link, or of their mtime that was put back: wait until these are old enough to prove something.
 */
static int look_again(struct scan *s)
{
	/* a little more, for a clock that is corrected meanwhile */
	uint64_t until = (uint64_t)s->link.dirs_changed_ns + VU_WALK_GRANULARITY_NS +
			 VU_WALK_GRANULARITY_NS / 20;
	struct timespec t = {.tv_sec = (time_t)(until / UINT64_C(1000000000)),
			     .tv_nsec = (long)(until % UINT64_C(1000000000))};
	uint64_t odd = 0;

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR &&
	       !vu_stop_requested())
		;
	int r = vu_walk_verify(&s->farm.walk, s->farm.tree, &odd);

	/* after a stop the directories stay fresh, and are read by the next run */
	return r == -ECANCELED ? 0 : r;
}

static int link_and_look_again(struct scan *s)
{
	bool link = s->ops->config->mode == VU_MODE_LINK;
	int r = link_plan(s), v;

	vu_plan_done(
		&s->planner
			 .plan); /* what follows needs memory too, and the roles say what is asked */
	/* also after a stop or a full disk: what was linked is to be remembered as it is */
	v = note_new_objects(s);
	if (!v && link)
		v = look_again(s);
	/* last: the directories that it changes are to differ from what is remembered of them */
	if (!v && link)
		v = vu_eviction_run(&s->eviction, false);
	return r ? r : v;
}

/* ---- the run ---- */

static int decide(struct scan *s, bool full)
{
	uint32_t n = s->farm.tree->inodes.n;
	_cleanup_free_ uint8_t *was = reopen_questions(s->farm.tree);

	if (!was)
		return -ENOMEM;
	int r = vu_scan_read_content(&s->planner);

	if (!r)
		r = vu_scan_make_plan(&s->planner, full);
	if (!r) {
		s->roles = vu_scan_roles(s->farm.tree, &s->planner.plan);
		r = s->roles ? 0 : -ENOMEM;
	}
	if (!r && s->planner.estimates)
		r = vu_estimate_sum(&s->planner.estimate, &s->planner.plan);
	if (!r && s->o->dry_run) {
		vu_scan_tell_plan(s->ops, s->farm.tree, &s->session.guests, &s->planner.plan);
		vu_scan_tell_skips(s->ops, s->farm.tree, &s->session.guests);
	}
	if (!r && !s->o->dry_run)
		r = link_and_look_again(s);
	mark_changed(s->farm.tree, was, n);
	vu_plan_done(&s->planner.plan);
	return r;
}

/* What was found and linked is remembered also after a stop, a full disk or a failure. */
static int save(struct scan *s, int result)
{
	struct vu_session *ss = &s->session;
	_cleanup_free_ bool *templates = vu_template_changed(ss, s->farm.tree);

	/* what has come apart is told again by the run that puts it together */
	if (s->o->remerge && s->o->dry_run)
		return result;
	if (s->ops->progress)
		vu_progress_begin(s->ops->progress, VU_PHASE_SAVE, 0, 0);
	int r = vu_catalog_save_tree(ss->catalog, &ss->guests, s->farm.tree, 0);

	if (!r)
		r = vu_rules_remember(ss);
	/* what could not be compared with an object that cannot be read is compared again */
	if (!r)
		r = vu_rules_company_remember(ss, !result && !ss->damages);
	if (!r)
		r = vu_idle_remember(&s->farm, !result && !ss->damages);
	if (result || r)
		return result ? result : vu_session_catalog_failed(ss, r);
	return s->o->dry_run ? 0 : vu_template_note_those(ss, templates);
}

/* From the rows of the run before, which the save replaces. */
static int know_apart(struct scan *s)
{
	struct vu_session *ss = &s->session;
	int r = vu_catalog_mark_apart(ss->catalog, &ss->guests, s->farm.tree);

	if (r)
		return vu_session_catalog_failed(ss, r);
	vu_scan_tell_broken(s->ops, s->farm.tree, &ss->guests);
	return 0;
}

/* For a farm whose rules are known. */
static int walk(struct scan *s, unsigned flags)
{
	int r = vu_farm_load(&s->farm, flags);

	if (!r && s->planner.estimates && s->planner.believes)
		r = vu_estimate_ahead(&s->planner.estimate, &s->session, &s->farm);
	if (!r)
		r = vu_farm_walk(&s->farm);
	if (!r)
		s->walked = true;
	if (!r && s->o->remerge)
		r = know_apart(s);
	return r;
}

static int walk_all(struct scan *s, unsigned flags)
{
	vu_scan_plan_forget(&s->planner);
	vu_farm_close(&s->farm);
	s->walked = false;
	int r = vu_farm_open(&s->farm, &s->session, flags);

	return r ? r : walk(s, flags);
}

static int walk_and_decide(struct scan *s, unsigned flags, bool asked)
{
	bool full = flags & VU_FARM_FULL;
	int r = walk(s, flags);

	if (r)
		return r; /* the walk is not complete: the catalog stays as it was */
	if (full || asked || has_work(s->farm.tree))
		r = decide(s, full);
	if (r == VU_SCAN_NOT_BELIEVED) {
		r = walk_all(s, flags | VU_FARM_FULL);
		if (r)
			return r;
		r = decide(s, true);
	}
	return save(s, r);
}

/* Has nothing changed? Then s->idle says what holds. Returns 0 or -ENOMEM. */
static int look_whether_idle(struct scan *s)
{
	s->idle = calloc(s->session.guests.n + 1, sizeof(*s->idle));
	if (!s->idle)
		return -ENOMEM;
	if (vu_idle(&s->farm, s->idle)) {
		s->walked = true;
		return 0;
	}
	free(s->idle);
	s->idle = NULL;
	return 0;
}

static int work(struct scan *s)
{
	unsigned flags = VU_FARM_RULES | VU_FARM_CATALOG | VU_FARM_LATER;
	bool asked = vu_rules_company_changed(&s->session);

	if (s->o->full || vu_rules_changed(&s->session))
		flags |= VU_FARM_FULL;
	int r = vu_farm_open(&s->farm, &s->session, flags);

	if (!r && !asked && !(flags & VU_FARM_FULL))
		r = look_whether_idle(s);
	if (r || s->idle)
		return r;
	if (s->o->remerge && s->ops->config->mode == VU_MODE_LINK)
		r = vu_recovery_of_left(&s->eviction, s->o->dry_run);
	return r ? r : walk_and_decide(s, flags, asked);
}

static int count(struct scan *s, struct vu_scan_report *rep)
{
	int r = vu_scan_report_new(&s->session.guests, rep);

	if (r)
		return r;
	rep->disk_only = s->ops->config->mode == VU_MODE_REFLINK;
	rep->read_bytes = s->planner.content.bytes;
	rep->hashed_bytes = s->planner.content.bytes_hashed;
	rep->objects_evicted = s->eviction.stats.evicted;
	rep->frozen = vu_freezer_stats(s->eviction.freezing.freezer);
	rep->warnings = s->session.warnings;
	rep->damages = s->session.damages;
	rep->seconds = vu_run_seconds(&s->run);
	vu_estimate_take(&s->planner.estimate, &rep->memory);
	if (s->idle)
		vu_scan_count_idle(s->idle, rep);
	else
		vu_scan_count(&s->session, s->farm.tree, s->roles, s->o->dry_run, rep);
	return 0;
}

/* Why the run ended, in words; what a callee has said already stays. */
static int explain(struct scan *s, int r)
{
	uint32_t at = s->link.stopped_at;
	const char *on = at ? s->session.fs[at - 1].mount.point : NULL;

	switch (r) {
	case -ECANCELED:
		return vu_fail(s->ops, VU_OPS_CANCELLED, "stopped", NULL,
			       "everything is consistent, and the next run goes on from here",
			       NULL);
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(s->ops, VU_OPS_NO_SPACE, "cannot go on", on, strerror(-r),
			       "free some space and run it again; nothing is lost");
	default:
		if (r < 0 && !s->ops->problem->what)
			return vu_fail(s->ops, r, s->o->remerge ? "cannot remerge" : "cannot scan",
				       on, NULL, NULL);
		return r;
	}
}

static int finish(struct scan *s, int r, struct vu_scan_report *rep)
{
	int c = s->farm.tree ? count(s, rep) : 0;

	if (!r && c)
		r = c;
	r = explain(s, r);
	if (s->farm.tree && !s->o->dry_run && s->ops->per_file)
		vu_scan_tell_skips(s->ops, s->farm.tree, &s->session.guests);
	struct vu_scan_report known = *rep;

	if (!s->walked) /* of no guest everything was seen: status stays as it was, too */
		known.n_guests = 0;
	if (s->run.id)
		vu_scan_record(&s->session, &s->run, &known, r);
	rep->warnings = s->session.warnings;
	return r;
}

static void close_all(struct scan *s)
{
	vu_scan_plan_done(&s->planner);
	free(s->roles);
	free(s->idle);
	vu_farm_close(&s->farm);
	vu_eviction_close(&s->eviction);
	vu_session_close(&s->session);
}

int vu_ops_scan(struct vu_ops *ops, const struct vu_scan_options *o,
		struct vu_scan_report *ret_report)
{
	struct scan s = {
		.ops = ops,
		.o = o,
		/* where extents are shared, no memory is */
		.planner = {.session = &s.session,
			    .farm = &s.farm,
			    .estimates = o->dry_run && ops->config->mode == VU_MODE_LINK,
			    .believes = o->dry_run && o->estimate},
	};
	struct vu_scan_report rep = {0};
	int r = prepare(&s);

	if (!r)
		r = vu_run_begin(&s.session, o->remerge ? "remerge" : "scan", o->dry_run, &s.run);
	if (!r)
		r = work(&s);
	r = finish(&s, r, &rep);
	close_all(&s);
	*ret_report = rep;
	return r;
}
