/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The census of one process: its anonymous pages, frame by frame, into a tally. A frame counts for the process in
 * which it is met first; so one that several have after a fork, or by KSM, is one.
 *
 * Changes no frame: content is read through /proc/PID/mem, which only takes a reference for the time of the copy.
 * (process_vm_readv(2) pins pages, and that breaks sharing, after a fork as well as KSM's, Linux 5.19 and later.)
 * Reads what is present only: nothing is swapped in, and no page table made. The accessed bit gets set; there is
 * no way around it. May wait for as long as the process likes: the caller sees to that (mem/census.h).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mem/frame-set.h"
#include "mem/frames.h"
#include "mem/tally.h"

/* Pages looked at together; their content stays in the processor's cache. */
#define VU_CENSUS_STEP 64

struct vu_swaps;

/* In pages. What is in the tally is not in here. */
struct vu_census_counts {
	uint64_t processes;
	uint64_t denied;      /* processes that could not be looked at */
	uint64_t merged_maps; /* pages of processes that are at a place of KSM */
	uint64_t merged;      /* these places */
	uint64_t zero_maps; /* pages of processes that are the kernel's page of zeros: no frames */
	uint64_t frames;    /* frames that were only counted (frames_only) */
	uint64_t huge;	    /* frames in transparent huge pages; these are in the tally too */
	uint64_t hugetlb;   /* frames of hugetlbfs: nothing can be merged there */
	uint64_t
		swapped; /* swapped out: not looked at; with a swap these alone are, and it counts for each process that has one */
	uint64_t shared; /* of shared memory, swapped out: never looked at (mem/shared-swap.h) */
	uint64_t unnumbered; /* of these, in an area that is not known: not looked at */
	uint64_t stayed;     /* of these, read through their owner, and in memory since */
	uint64_t moved;	     /* frames that went away while they were read: not looked at */
	uint64_t unread;     /* frames that could not be read */
};

/* Of one thread; zeroed at first, then its borrowed parts set. */
struct vu_census_reader {
	struct vu_frame_set *seen; /* borrowed; of all readers together */
	struct vu_tally *tally;	   /* borrowed; the same */
	_Atomic uint64_t *beat;	   /* borrowed; grows with each step of the work */
	bool frames_only;	   /* no content is read, and nothing gets into the tally */
	const struct vu_swaps *
		swap; /* borrowed; NULL: what is in memory; else what is swapped out, by mem/census-swap.h */
	bool by_area; /* the owner of what is swapped out is the number of its area */
	int pidfd; /* borrowed; of the process, through which what is swapped out is read; negative: from its area */
	struct vu_frames frames;
	char *buf; /* owned */
};

/* Returns 0, VU_FRAMES_HIDDEN or a negative errno. vu_census_reader_done in any case. */
int vu_census_reader_init(struct vu_census_reader *rd);
void vu_census_reader_done(struct vu_census_reader *rd);

/*
 * proc_fd: the process' directory in /proc. Adds to ret. Returns 0 (also when the process has ended meanwhile),
 * or a negative errno: of memory, or why it cannot be looked at.
 */
int vu_census_process(struct vu_census_reader *rd, int proc_fd, uint16_t owner, uint16_t program,
		      struct vu_census_counts *ret);

/* Of at most VU_CENSUS_STEP pages. Returns 0 or a negative errno. */
typedef int vu_census_step_fn(void *arg, uint64_t address, const uint64_t *entry, size_t n);

/* A piece of a mapping (vu_frames_process) in steps, each of which is noted in rd->beat; of a shared one there are none. */
int vu_census_steps(struct vu_census_reader *rd, const struct vu_map *m, uint64_t address,
		    uint64_t *entry, size_t n, vu_census_step_fn *step, void *arg);
