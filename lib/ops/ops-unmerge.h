/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way back: gives unified names private copies again, with content, mode, owner, times and
 * xattrs as they were, and removes objects that nobody needs any more. Checks the free space first.
 * Needs no catalog, and brings it up to date where there is one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/freezer.h"
#include "ops/context.h"

struct vu_unmerge_options {
	char **operands; /* borrowed; guests' names, roots, or paths inside of guests */
	size_t n;	 /* 0: all registered guests */
	bool dry_run;	 /* change no guest */
};

struct vu_unmerge_report {
	uint64_t names;		  /* names that are private now (with dry_run: would be) */
	uint64_t inodes;	  /* private inodes made for them */
	uint64_t copied_bytes;	  /* apparent size of these */
	uint64_t objects_removed; /* objects without a name in a guest, removed from the pool */
	uint64_t objects_evicted; /* objects replaced because somebody got them open for writing */
	struct vu_freezer_stats frozen;
	uint64_t warnings;
	uint64_t damages;
	double seconds;
};

/* Returns 0, an enum vu_ops_e or a negative errno; the report is written also when cancelled. */
int vu_ops_unmerge(struct vu_ops *ops, const struct vu_unmerge_options *o,
		   struct vu_unmerge_report *ret_report);
