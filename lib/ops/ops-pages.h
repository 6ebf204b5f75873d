/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The use-case behind `vunify pages`: how many pages are the same, in the anonymous memory of guests or of
 * processes, or in files of pages; and what merging them would free. Looks, changes nothing; with freeze it keeps
 * the guests from running meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/context.h"

/* Guests are frozen for no longer: then the guardian thaws them, and the census goes on without. */
#define VU_PAGES_FREEZE_SECONDS 30

enum vu_pages_of {
	VU_PAGES_GUESTS,
	VU_PAGES_PROCESSES,
	VU_PAGES_FILES,
	VU_PAGES_AREAS, /* areas of swap, of all processes */
	VU_PAGES_ZRAM,	/* zram devices: only ret->zram is filled */
};

struct vu_pages_options {
	char *const *
		operands; /* borrowed; guests' names or roots, or files and devices; none: all guests */
	size_t n;
	const char *const *pids; /* borrowed; numbers of processes; then there are no operands */
	size_t n_pids;
	bool freeze;
	uint64_t max_memory; /* bytes; 0: the usual */
	bool swap;    /* what is swapped out; operands may also be areas of swap, or zram devices */
	bool swap_in; /* with swap: read it through the processes */
	bool replay;  /* with zram devices: prove it */
};

/* Of a guest, a process, a file, a program, or of all. In pages. */
struct vu_pages_row {
	char *name; /* owned; NULL for the total. A guest chose it */
	char *path; /* owned; of a guest or file; or NULL */
	uint64_t processes;
	uint64_t pages;	      /* that were looked at, each frame once */
	uint64_t zero;	      /* of these, full of zeros */
	uint64_t identical;   /* of these, there is another page with the same content */
	uint64_t freed;	      /* its fair part of what merging would free */
	uint64_t inside;      /* to be freed by merging inside of it alone (not of programs) */
	uint64_t merged_maps; /* pages of processes that KSM has merged, at a place with others */
	uint64_t huge;	      /* frames of transparent huge pages, which merging would split */
	uint64_t hugetlb;     /* frames of hugetlbfs: not looked at */
	uint64_t
		swapped; /* swapped out: not looked at; with swap, of all processes that have them */
	uint64_t swapped_shared; /* of shared memory: swapped out, and not looked at either way */
	uint64_t moved;		 /* went away while they were read: not looked at */
	uint64_t unread;	 /* could not be read */
	uint64_t denied;	 /* processes that could not be looked at */
	uint64_t holes;		 /* of a file: nothing is there, and nothing to be freed */
};

/* A zram device. Its bytes are those of mm_stat, from before it was read. */
struct vu_pages_zram {
	char *path;	 /* owned */
	char *algorithm; /* owned */
	uint64_t stored; /* bytes, before compression */
	uint64_t compressed;
	uint64_t used;
	uint64_t pages;		   /* that take memory */
	uint64_t filled;	   /* that take none, being full of one word */
	uint64_t identical, freed; /* pages */
	uint64_t saved;		   /* compressed bytes, as it is predicted */
	unsigned level;		   /* as in the report */
	bool replayed;
	uint64_t replay_compressed; /* of a device that has each page once; bytes */
	uint64_t replay_used;
};

struct vu_pages_report {
	enum vu_pages_of of;
	bool swap;		    /* it is about what is swapped out */
	struct vu_pages_zram *zram; /* owned */
	size_t n_zram;
	size_t n_areas;	 /* of swap that there are */
	uint64_t stayed; /* pages that are in memory since they were read */
	uint64_t
		zero_unsure; /* pages at most that are of zeros, and may have been told as something else */
	uint64_t pushed_out; /* pages that were swapped out meanwhile, by the kernel's counter */
	uint64_t page_bytes;
	struct vu_pages_row *row; /* owned; guests, processes or files */
	size_t n;
	struct vu_pages_row *program; /* owned; those with most to be freed first */
	size_t n_programs;
	struct vu_pages_row total;
	uint64_t freed_zero; /* of total.freed, pages of zeros */
	uint64_t merged;     /* places of KSM: so many frames hold total.merged_maps pages */
	unsigned level;	     /* of 1 << level contents one was looked at; 0: all were */
	unsigned n_stuck;    /* processes left out, because they kept the census waiting; */
	int stuck;	     /* the first of them */
	bool frozen;	     /* all guests stood still from begin to end */
	bool thawed;	     /* they did not, for it lasted too long */
	double seconds;
};

/* Returns 0, an enum vu_ops_e or a negative errno, with the problem filled. ret is to be given to vu_pages_done. */
int vu_ops_pages(struct vu_ops *ops, const struct vu_pages_options *o, struct vu_pages_report *ret);

void vu_pages_done(struct vu_pages_report *r);
