/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who has which physical page: counts frames, each once, by the set of guests whose processes have it mapped. So a
 * guest's fair share is known (of a frame that k guests have it has 1/k), which no sum over its processes gives.
 * Four bytes for each frame that somebody has, whatever is mapped how often. Adding is done by a child (see
 * base/watched.h), the sums are made by its parent; each by one thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/frames.h"

#define VU_PAGES_MAX_GUESTS 65535

/* All in pages. */
struct vu_pages_guest {
	uint64_t processes;
	uint64_t mapped; /* as addresses: what its processes' RSS sum up to */
	/* Swapped out of it; what forked processes still share counts for each, shared memory once. */
	uint64_t swapped;
	uint64_t swapped_shared; /* of that, shared memory (mem/shared-swap.h) */
	uint64_t file_own;	 /* frames of files that it alone has */
	uint64_t file_shared;	 /* that others of these guests have too */
	double file_fair;	 /* its fair share of both */
	uint64_t anon; /* frames of anonymous memory, those that others have too included */
	double anon_fair;
};

struct vu_pages_total {
	uint64_t file;	      /* frames, each once */
	uint64_t file_shared; /* of these, what several guests have */
	uint64_t anon;
	uint64_t hugetlb; /* frames of huge pages that were set apart; in nothing else */
	bool truncated; /* there were too many different sets: some frames count for fewer guests than have them */
};

struct vu_pages;

/* Returns 0, VU_FRAMES_HIDDEN, -ENOENT where the kernel has no kpageflags, or another negative errno. */
int vu_pages_new(size_t n_guests, struct vu_pages **ret);
struct vu_pages *vu_pages_free(struct vu_pages *p);

/* As it was when it was new. */
void vu_pages_clear(struct vu_pages *p);

/* Changes while something is added; shared. And the guest whose process that was last; SIZE_MAX: none. */
const _Atomic uint64_t *vu_pages_progress(const struct vu_pages *p);
size_t vu_pages_guest_at_hand(const struct vu_pages *p);

/*
 * Adds a process (task_fd: its directory in /proc, or a thread's). One that has ended, or cannot be looked at, has
 * nothing. Returns 0 or a negative errno.
 */
int vu_pages_add(struct vu_pages *p, size_t guest, int task_fd);

/* Sums it up; ret_guests has n_guests elements. Returns 0 or a negative errno. */
int vu_pages_sum(struct vu_pages *p, struct vu_pages_guest *ret_guests,
		 struct vu_pages_total *ret_total);

size_t vu_pages_page_bytes(const struct vu_pages *p);
