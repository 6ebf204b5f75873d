/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proof of sharing: are the pages of several files the same physical pages? Maps the files,
 * touches only what is in the page cache already, and compares the page frame numbers that
 * /proc/self/pagemap shows to whoever has CAP_SYS_ADMIN. Where nothing of any file is resident, the
 * first pages of the first file are read in. Opens only regular files; a file that shrinks
 * meanwhile does no harm. Called by cmd/; any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct vu_samepage_file {
	int err;	/* negative errno: why it could not be looked at (-EINVAL: not regular) */
	uint64_t pages; /* of the file */
	uint64_t resident; /* of these, in the page cache */
};

struct vu_samepage {
	struct vu_samepage_file *file; /* owned; one for each path */
	size_t n;
	uint64_t page_bytes;
	uint64_t pages_compared; /* offsets that are resident in all files */
	uint64_t pages_equal;	 /* of these, one physical page for all */
};

enum vu_samepage_e {
	VU_SAMEPAGE_HIDDEN =
		1,	  /* the kernel shows no page frame numbers: CAP_SYS_ADMIN is missing */
	VU_SAMEPAGE_FILE, /* a file could not be looked at: its err says why; ret is written */
};

/*
 * Compares the n (at least 2, else -EINVAL) files. Returns 0, a code above, or a negative errno.
 * ret is written with 0 and VU_SAMEPAGE_FILE.
 */
int vu_samepage_prove(char *const *paths, size_t n, struct vu_samepage *ret);

/* Frees what s owns and zeroes it. */
void vu_samepage_done(struct vu_samepage *s);
