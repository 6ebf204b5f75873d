/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The census of a zram device: how many of its pages are the same, and how many compressed bytes it would need less if
 * each were kept once. Reads all of the device, with O_DIRECT; changes nothing. Its memory is bounded, as that of
 * a tally is (mem/tally.h).
 *
 * And its proof: each distinct page is written to a device of the same kind, once, whose numbers are the kernel's own.
 * One thread.
 */
#pragma once

#include <stdint.h>

#include "mem/zram.h"
#include "model/progress.h"

/* Pages are those of the device, at the time when it was read. */
struct vu_zram_census {
	uint64_t page_bytes;
	uint64_t pages;	    /* that take memory: not of one word */
	uint64_t same;	    /* pages of one word other than zero */
	uint64_t distinct;  /* contents of pages */
	uint64_t identical; /* pages with a content that others have too */
	uint64_t freed;	    /* pages that merging would free */
	uint64_t saved;	    /* compressed bytes that it would save */
	unsigned level;	    /* of 1 << level contents one was looked at */
};

/*
 * fd: the device z, open for reading with O_DIRECT. max_bytes: of memory. progress: or NULL; its bytes are advanced.
 * Returns 0 or a negative errno (-ECANCELED after a stop).
 */
int vu_zram_census(int fd, const struct vu_zram *z, uint64_t max_bytes,
		   struct vu_progress *progress, struct vu_zram_census *ret);

/*
 * Writes each distinct page of fd to the device to, which has the same size.
 * Pages of one word, which take no memory, are left out. max_bytes: of memory, for telling which are distinct;
 * -E2BIG where that is not enough. The rest as above.
 */
int vu_zram_replay(int fd, const struct vu_zram *z, int to, uint64_t max_bytes,
		   struct vu_progress *progress);
