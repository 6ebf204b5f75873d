/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which physical pages (frames) a process has: a reader of /proc/PID/pagemap that costs nothing for what is
 * not there, and of /proc/kpageflags and /proc/kpagecount. Reads; changes no process and no page: nothing is
 * swapped in, and no accessed bit is set. What it says is true for the instant of the look. Needs
 * CAP_SYS_ADMIN. May wait, as mem/maps.h says. One reader is for one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/maps.h"

/* ---- an entry of pagemap: of one page of a process ---- */

static inline bool vu_frame_is_present(uint64_t entry)
{
	return entry >> 63 & 1;
}

/* Swapped out, or on its way between two places. */
static inline bool vu_frame_is_swapped(uint64_t entry)
{
	return entry >> 62 & 1;
}

/* Of a file, or of shared memory. */
static inline bool vu_frame_is_file(uint64_t entry)
{
	return entry >> 61 & 1;
}

/* Mapped by this page table entry alone. */
static inline bool vu_frame_is_exclusive(uint64_t entry)
{
	return entry >> 56 & 1;
}

/* Number of the frame of a present page; 0: there is none to be counted. */
static inline uint64_t vu_frame_number(uint64_t entry)
{
	return entry & ((UINT64_C(1) << 55) - 1);
}

/* Where a swapped page is: the number of the swap area, and the page in it. */
static inline unsigned vu_frame_swap_area(uint64_t entry)
{
	return entry & 31;
}

static inline uint64_t vu_frame_swap_offset(uint64_t entry)
{
	return (entry & ((UINT64_C(1) << 55) - 1)) >> 5;
}

/* ---- bits of kpageflags: of one frame ---- */

enum vu_frame_flag {
	VU_FRAME_ANON = 12,
	VU_FRAME_SWAPBACKED = 14,
	VU_FRAME_HUGETLB = 17,
	VU_FRAME_NOPAGE = 20,
	VU_FRAME_KSM = 21,
	VU_FRAME_THP = 22,
	VU_FRAME_ZERO = 24, /* the page of zeros, or the huge one */
};

static inline bool vu_frame_has(uint64_t flags, enum vu_frame_flag bit)
{
	return flags >> bit & 1;
}

/* ---- the reader ---- */

enum vu_frames_e {
	VU_FRAMES_HIDDEN = 1, /* the kernel shows no frame numbers: CAP_SYS_ADMIN is missing */
};

struct vu_frames {
	int kpageflags;	 /* -EBADF where the kernel has it not */
	int kpagecount;	 /* the same */
	bool scan;	 /* PAGEMAP_SCAN works, so far */
	size_t page;	 /* bytes */
	uint64_t *entry; /* owned */
};

/* Returns 0, VU_FRAMES_HIDDEN, or a negative errno. vu_frames_close in any case. */
int vu_frames_open(struct vu_frames *f);
void vu_frames_close(struct vu_frames *f);

/*
 * The pages of [start, end) that are present or swapped, in pieces: fn gets the address of the first page of
 * each, and n entries (borrowed, may be changed). Pages of the piece that are neither have entries too, which
 * say so. pagemap: the process', open for reading. Ends when fn returns non-zero, which is returned; else 0
 * or a negative errno (-ECANCELED after a stop, base/stop.h). That the process ended is no error.
 */
int vu_frames_read(struct vu_frames *f, int pagemap, uint64_t start, uint64_t end,
		   int (*fn)(void *arg, uint64_t address, uint64_t *entry, size_t n), void *arg);

/*
 * All of a process (task_fd: its directory in /proc, or a thread's), mapping by mapping but for the special
 * ones: fn gets the mapping besides. The rest as above; -ENOENT, -ESRCH and -EACCES where it cannot be looked
 * at.
 */
int vu_frames_process(struct vu_frames *f, int task_fd,
		      int (*fn)(void *arg, const struct vu_map *m, uint64_t address,
				uint64_t *entry, size_t n),
		      void *arg);

/*
 * Flags, or how often they are mapped, of n frames from pfn on. Returns how many could be read (0: there are
 * no such frames), or a negative errno.
 */
long vu_frames_flags(const struct vu_frames *f, uint64_t pfn, uint64_t *ret, size_t n);
long vu_frames_counts(const struct vu_frames *f, uint64_t pfn, uint64_t *ret, size_t n);
