/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbers of a scan, counted from the tree and the plan; and the plan told as events. */
#pragma once

#include "model/guest.h"
#include "model/plan.h"
#include "model/tree.h"
#include "ops/ops-scan.h"
#include "ops/run.h"

/*
 * Tells each name that a run would unify, and each private file's skip where somebody wants to know
 * (ops->per_file). The real run tells the same, as it goes.
 */
void vu_scan_tell_plan(const struct vu_ops *ops, const struct vu_tree *t,
		       const struct vu_guests *guests, const struct vu_plan *plan);

/* Tells what came apart since the last run (ops->per_file). */
void vu_scan_tell_broken(const struct vu_ops *ops, const struct vu_tree *t,
			 const struct vu_guests *guests);

/* Tells the skips of the private files (ops->per_file). */
void vu_scan_tell_skips(const struct vu_ops *ops, const struct vu_tree *t,
			const struct vu_guests *guests);

/*
 * An empty report on these guests. Returns 0 or -ENOMEM; vu_scan_report_done() in any case.
 */
int vu_scan_report_new(const struct vu_guests *guests, struct vu_scan_report *ret);

/*
 * What the plan makes of each inode of the tree, by its number: a byte each, where the plan takes many
 * times that. malloc'ed; NULL without memory. For vu_scan_count().
 */
uint8_t *vu_scan_roles(const struct vu_tree *t, const struct vu_plan *plan);

/*
 * Counts what holds for each guest: r->guests must be there, one for each guest, zeroed but for their
 * names. roles: of the plan, or NULL: there was none; with dry_run its names count as unified now, else
 * those that the tree says are. Totals are summed up.
 */
void vu_scan_count(const struct vu_session *s, const struct vu_tree *t, const uint8_t *roles,
		   bool dry_run, struct vu_scan_report *r);

/* The same from what is known already of a farm in which nothing has changed; counts: one for each guest. */
void vu_scan_count_idle(const struct vu_scan_guest *counts, struct vu_scan_report *r);

/* Writes the end of a run into the history, with the numbers of r. code: as the use-case returns it. */
void vu_scan_record(struct vu_session *s, struct vu_run *run, const struct vu_scan_report *r,
		    int code);
