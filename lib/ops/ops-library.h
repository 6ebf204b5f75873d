/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that guests have at the same place (a library): which physical pages are behind it in each of them. Of
 * the file that is there now, and of what of it is in the page cache; what processes hold of a former one is no
 * matter here (ops/ops-stale.h). Looks, changes nothing, and reads nothing in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/context.h"

/* Of a file that has more pages, the first are looked at; with very many guests still fewer. */
#define VU_LIBRARY_PAGES_MAX 16384

struct vu_library_guest {
	char *name; /* owned */
	char *path; /* owned; beneath the root; NULL: it has no such file */
	int err;    /* negative errno: why its file could not be looked at; 0 where it has none */
	uint64_t pages; /* of the file; not those behind the limit */
	/*
	 * owned; one for each page: 0 it is not in memory, else the number of the copy that the page is of. Those
	 * with the same number have the same physical page.
	 */
	uint64_t *copy;
	uint64_t resident; /* of these, in pages: in memory, */
	uint64_t alone;	   /* and in no other guest's file */
	uint64_t main;	   /* the copy that most of them are of; 0: none is in memory */
};

struct vu_library {
	struct vu_library_guest *guests; /* owned */
	size_t n_guests;
	uint64_t pages;	   /* of the longest */
	uint64_t n_copies; /* numbered from 1, as they come up guest by guest */
	uint64_t physical; /* pages in memory, each once */
	uint64_t resident; /* what they would be if each guest had its own */
	bool cut;	   /* a file is longer than what was looked at */
	bool hidden;	   /* the kernel shows us no frames: nothing is known */
	size_t page_bytes;
};

/*
 * Of the guests (as vu_ops_mem takes them). path: beneath their roots, a leading / does not matter; NULL: each
 * one's libc. A symbolic link is followed within its directory, and nowhere else. Returns 0 or like
 * vu_ops_status. vu_library_done in any case.
 */
int vu_ops_library(struct vu_ops *ops, char *const *guests, size_t n, const char *path,
		   struct vu_library *ret);

void vu_library_done(struct vu_library *l);
