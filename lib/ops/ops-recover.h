/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After a crash: objects get their flag again, temporary names are removed or put back. Idempotent;
 * needs no catalog, and can make a new one in the place of one that cannot be used.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/freezer.h"
#include "ops/context.h"

struct vu_recover_options {
	char **roots;	      /* borrowed; roots of guests, or their names */
	size_t n_roots;	      /* 0: the registered guests */
	bool dry_run;	      /* only say what would be put right */
	bool rebuild_catalog; /* make a new catalog first, with the guests of the old one */
};

struct vu_recover_report {
	uint64_t pools;		  /* pools looked at */
	uint64_t objects;	  /* objects looked at */
	uint64_t reflagged;	  /* objects that got their flag again */
	uint64_t names_removed;	  /* temporary names removed */
	uint64_t names_restored;  /* temporary names put back: they were the newer file */
	uint64_t trees_removed;	  /* guests that were not made, or not removed, to their end */
	uint64_t objects_evicted; /* objects replaced because somebody got them open for writing */
	struct vu_freezer_stats frozen;
	uint64_t warnings;
	uint64_t damages;
	double seconds;
};

/* Returns 0, an enum vu_ops_e or a negative errno; the report is written also when cancelled. */
int vu_ops_recover(struct vu_ops *ops, const struct vu_recover_options *o,
		   struct vu_recover_report *ret_report);
