/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds a file that has still what a damaged object had, and puts a verified copy of it into the pool (link/slip.h),
 * with which the object can be evicted. Part of ops/verify-repair; one thread.
 */
#pragma once

#include <stddef.h>

#include "link/identify.h"
#include "ops/verify-repair.h"

/*
 * For the object o of a pool; with r->dry_run nothing is put anywhere. Returns 1, and what the file is called in
 * ret_label (owned by the caller); 0 when there is none, and in ret_err what stood in the way of one (a negative errno,
 * or 0); or a negative errno that concerns more than one file.
 */
int vu_repair_source_find(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			  struct vu_checked *o, char **ret_label, int *ret_err);
