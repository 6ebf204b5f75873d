/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The areas that memory is swapped out to (devices, files), and what is in a slot of them, read from there with
 * O_DIRECT: nothing is swapped in, and no page cache is filled. Needs CAP_SYS_ADMIN. vu_swaps_open tries with a
 * page of this process' own how the kernel numbers the areas, where there are several; nothing else is changed.
 * vu_swaps_read: any thread; the rest is for one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Entries of page tables with a number from this one on are no swap areas, whatever the kernel's configuration. */
#define VU_SWAPS_AREAS_MAX 23
#define VU_SWAPS_SLOT_BITS 35 /* of the number of a slot: 128 TiB */

struct vu_swaps_area {
	char *path; /* owned */
	bool file;  /* a regular file; else a block device */
	bool skip;  /* set by the caller: its slots are not looked at */
	bool zram;
	int fd;	      /* owned */
	uint64_t dev; /* of a block device: its own number; of a file: the device it is on */
	uint64_t ino; /* of a file */
	uint64_t pages;
};

struct vu_swaps {
	struct vu_swaps_area area[VU_SWAPS_AREAS_MAX]; /* by the kernel's number */
	size_t n;
	size_t page; /* bytes */
};

enum vu_swaps_e {
	VU_SWAPS_AREA = 1, /* an area cannot be read: ret_bad, ret_err */
	VU_SWAPS_BLOCKS, /* a file whose slots lie in an order of their own: its file system's blocks are smaller than a page */
	VU_SWAPS_NUMBERS, /* the kernel numbers the areas in another way than /proc/swaps lists them */
};

/* A number for each slot of all areas. slot: below 1 << VU_SWAPS_SLOT_BITS. */
static inline uint64_t vu_swaps_number(unsigned area, uint64_t slot)
{
	return (uint64_t)area << VU_SWAPS_SLOT_BITS | slot;
}

/* Which area an entry with that number means: of one, it is clear whatever the number is. May be none. */
static inline unsigned vu_swaps_index(const struct vu_swaps *s, unsigned number)
{
	return s->n == 1 ? 0 : number;
}

/* Parses a line of /proc/swaps, which is changed. Returns 0, -EINVAL for what is none, or -ENOMEM. */
int vu_swaps_parse(char *line, size_t page, struct vu_swaps_area *ret);

/*
 * Returns 0 (also where there is no swap at all), a code above, or a negative errno. ret is to be given to
 * vu_swaps_close in any case; with VU_SWAPS_AREA and VU_SWAPS_BLOCKS the last of its areas is the one meant, and
 * ret_err says why.
 */
int vu_swaps_open(struct vu_swaps *ret, int *ret_err);
void vu_swaps_close(struct vu_swaps *s);

/*
 * Reads n slots side by side; buf is aligned to pages. Returns how many could be read from the first one on, or a
 * negative errno.
 */
long vu_swaps_read(const struct vu_swaps *s, unsigned area, uint64_t slot, void *buf, size_t n);

/* Is zswap on, or has it pages? Then what is in a slot may be old. */
bool vu_swaps_has_zswap(void);

/* A counter of /proc/vmstat; 0 where the kernel has it not. */
uint64_t vu_swaps_vmstat(const char *name);
