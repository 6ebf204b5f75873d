/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The runs that the catalog remembers. Looks, changes nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/context.h"

struct vu_history_run {
	uint64_t id;
	char *verb;	     /* owned; "scan", "unmerge" */
	uint64_t started_ns; /* since the epoch */
	double seconds;
	uint64_t guests;      /* how many took part */
	uint64_t files;	      /* names of regular files that were looked at */
	uint64_t names;	      /* unified, or made private */
	uint64_t saved_bytes; /* disk freed */
	uint64_t warnings;
	bool dry_run;
	char *result; /* owned; "done", "stopped", "failed", "unfinished" */
};

struct vu_history {
	struct vu_history_run *runs; /* owned; newest first */
	size_t n_runs;
};

/* The newest limit runs (0: all). Returns 0, VU_OPS_NOT_SET_UP or another code. */
int vu_ops_history(struct vu_ops *ops, uint64_t limit, struct vu_history *ret_history);

void vu_history_done(struct vu_history *h);
