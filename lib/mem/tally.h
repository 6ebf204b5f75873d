/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tally of a census: which pages have the same content, whose they are, and what it would bring to have one
 * of each. A page is told by its owner (a guest, a file), its program, and a hash of its content; nothing of the
 * content is kept. Equal hashes (96 bits of XXH3) count as equal contents: good enough for a prediction, and for
 * nothing else.
 *
 * Its memory is bounded. When it would become too much, only the contents are kept whose hash ends in so many zero
 * bits, with all their copies, and each of them stands for 2, 4, 8 ... contents. Exact all the same are the numbers
 * of pages, pages of zeros, and contents that had very many copies when that began.
 *
 * Pages may be added by any thread; the rest is for one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VU_TALLY_OWNERS_MAX 65536
#define VU_TALLY_PROGRAMS_MAX 32768
#define VU_TALLY_BYTES_MIN (UINT64_C(2) << 20)

struct vu_tally_page {
	uint32_t hash[3];
	uint16_t owner;	  /* index */
	uint16_t program; /* index */
	bool zero;	  /* all its bytes are; the hash does not matter */
	bool merged;	  /* by KSM: this page is a place that others may be merged to */
};

/* How merging works: an ideal one, or the kernel's. */
struct vu_tally_rules {
	uint64_t max_sharing; /* so many pages become one at most; 0: any number */
	bool zero_free;	      /* pages of zeros are given up altogether (KSM's use_zero_pages) */
	bool zero_kept_free;  /* pages of zeros take no room as it is: merging them frees nothing */
};

/* In pages. */
struct vu_tally_share {
	uint64_t pages;
	uint64_t zero;	    /* all bytes are zero */
	uint64_t identical; /* another page has the same content, zero or not */
	uint64_t inside;    /* to be freed by merging inside of the owner (of a program: 0) */
	double freed; /* its fair part of what merging all would free: each of n equal pages has an n-th of it */
};

struct vu_tally_sum {
	uint64_t pages;
	uint64_t zero;
	uint64_t merged;		/* places of KSM */
	uint64_t distinct;		/* contents, the one of zeros included */
	uint64_t identical;		/* pages that are not alone with their content */
	uint64_t freed;			/* by merging all */
	uint64_t freed_zero;		/* of these, pages of zeros */
	uint64_t freed_inside;		/* of these, by merging inside of owners only */
	unsigned level;			/* of 1 << level contents one was looked at; 0: all were */
	struct vu_tally_share *owner;	/* owned; by index */
	struct vu_tally_share *program; /* owned; by index */
};

struct vu_tally;

/*
 * max_bytes: of memory, for the pages; VU_TALLY_BYTES_MIN at least. Returns 0, -ENOMEM, or -EINVAL when there are
 * more owners or programs than can be.
 */
int vu_tally_new(uint64_t max_bytes, size_t n_owners, size_t n_programs, struct vu_tally **ret);
struct vu_tally *vu_tally_free(struct vu_tally *t);

/* Sets hash and zero of a page by its content. bytes: a multiple of 8. Any thread. */
void vu_tally_look(const void *content, size_t bytes, struct vu_tally_page *page);

/* Returns 0 or -ENOMEM; then the tally is of no use any more. */
int vu_tally_add(struct vu_tally *t, const struct vu_tally_page *pages, size_t n);

/* What comes afterwards is not added any more. ret is to be given to vu_tally_sum_done. */
void vu_tally_end(struct vu_tally *t, const struct vu_tally_rules *rules, struct vu_tally_sum *ret);
void vu_tally_sum_done(struct vu_tally_sum *s);
