/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Collects what nobody needs: objects that no guest has a name of, and rows of the catalog that nothing speaks
 * of any more. What a killed run left is put right first. No guest's file is touched.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/context.h"

struct vu_gc_options {
	char **roots; /* borrowed; roots of guests, or their names: the file systems they are on */
	size_t n_roots;	    /* 0: the registered guests */
	bool dry_run;	    /* only say what would be removed */
	bool forget_guests; /* also guests whose roots are gone from file systems that are there */
};

struct vu_gc_report {
	uint64_t pools;		  /* pools looked at */
	uint64_t objects;	  /* objects looked at */
	uint64_t objects_removed; /* with dry_run: that would be */
	uint64_t bytes_freed;	  /* what they occupied on the disk */
	uint64_t objects_busy;	  /* without a guest, but somebody works on them or has them open */
	uint64_t guests_forgotten; /* with dry_run: that would be */
	uint64_t rows_removed;	   /* of the catalog; with dry_run: that would be */
	uint64_t warnings;
	uint64_t damages;
	double seconds;
};

/* Returns 0, an enum vu_ops_e or a negative errno; the report is written also when cancelled. */
int vu_ops_gc(struct vu_ops *ops, const struct vu_gc_options *o, struct vu_gc_report *ret_report);
