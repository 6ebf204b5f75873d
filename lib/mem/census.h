/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The census of anonymous memory of many processes: how many pages have the same content, inside of an owner (a
 * guest) and across them, and what merging them would free. See mem/census-process.h for what it reads and what it
 * leaves as it was. Works in a child, so that no process can make the caller wait: one that does not let itself be
 * read for VU_CENSUS_STUCK_MS is left out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mem/census-process.h"
#include "mem/tally.h"
#include "model/progress.h"

#define VU_CENSUS_STUCK_MS 3000
#define VU_CENSUS_STUCK_MAX 32 /* processes; then it is given up (-ETIMEDOUT) */

struct vu_census_subject {
	pid_t pid;
	uint64_t
		started; /* vu_census_started(pid): another process with that number is not looked at */
	uint16_t owner;	  /* index */
	uint16_t program; /* index */
};

struct vu_census_options {
	const struct vu_census_subject *subject; /* borrowed */
	size_t n;
	size_t n_owners;
	size_t n_programs;
	unsigned jobs;	  /* threads */
	bool frames_only; /* nothing is read: the sum is empty, and only the counts are there */
	const struct vu_swaps
		*swap; /* borrowed; NULL: what is in memory is counted; else what is swapped out */
	bool by_area;  /* of what is swapped out: the owners in the sum are the swap's areas */
	bool swap_in;  /* of what is swapped out: read through the processes (mem/census-swap.h) */
	uint64_t max_bytes; /* of memory, for pages */
	struct vu_tally_rules rules;
	struct vu_progress *progress; /* borrowed; or NULL; files are processes */
};

struct vu_census {
	struct vu_tally_sum sum;
	struct vu_census_counts *owner; /* owned; by index */
	struct vu_census_counts total;
	uint64_t page_bytes;
	unsigned n_stuck; /* processes that were left out, or looked at in part */
	pid_t stuck;	  /* the first of them */
};

enum vu_census_e {
	VU_CENSUS_HIDDEN =
		1, /* the kernel does not show frames: CAP_SYS_ADMIN is missing, or /proc/kpageflags */
};

/* When the process was started, in ticks of the clock since boot; 0: it is not there. */
uint64_t vu_census_started(pid_t pid);

/*
 * Returns 0, a code above, or a negative errno (-ECANCELED after a stop; -EIO when the child was killed). ret is to be
 * given to vu_census_done.
 */
int vu_census_take(const struct vu_census_options *o, struct vu_census *ret);
void vu_census_done(struct vu_census *c);
