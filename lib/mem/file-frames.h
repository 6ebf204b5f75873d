/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which physical pages (frames) the page cache holds of a file: maps it, and touches only what is in memory
 * already, unless it is told to read. A file that shrinks meanwhile does no harm. One reader is for one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VU_FILE_FRAMES_MAX 4096 /* pages at once */

struct vu_file_frames {
	int pagemap;   /* owned; our own */
	size_t page;   /* bytes */
	uint8_t *core; /* owned; mincore's answer */
};

/* Returns 0, VU_FRAMES_HIDDEN (mem/frames.h), or a negative errno. vu_file_frames_close in any case. */
int vu_file_frames_open(struct vu_file_frames *f);
void vu_file_frames_close(struct vu_file_frames *f);

/*
 * The frames of n pages, at most VU_FILE_FRAMES_MAX, from page first on; 0: it is not in memory. fd: a regular
 * file, open for reading. read_in: so many of these pages are read in where they are not. Returns as the above.
 */
int vu_file_frames_read(const struct vu_file_frames *f, int fd, uint64_t first, size_t n,
			size_t read_in, uint64_t *ret);
