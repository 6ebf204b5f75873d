/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main job: registers roots as guests, walks them, reads what has to be read, plans, links, and
 * brings the catalog up to date. With dry_run the same without the linking: the same events and the
 * same numbers, and no guest is changed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/freezer.h"
#include "model/skip.h"
#include "ops/context.h"
#include "ops/estimate.h"

struct vu_scan_options {
	char **roots;	   /* borrowed; paths of roots, or names of registered guests */
	size_t n_roots;	   /* 0: the registered guests */
	bool dry_run;	   /* change no guest */
	bool estimate;	   /* with dry_run: see vu_scan_plan.believes */
	bool trust_guests; /* one admin owns all guests: the capability gate is open */
	bool full;	   /* trust nothing that the catalog says: look at every file */
	/*
	 * What came apart since the last run is put together again: for registered guests only, and it is told
	 * what came apart. Of the objects only those are looked at that get further names.
	 */
	bool remerge;
};

struct vu_scan_count {
	uint64_t files; /* names */
	uint64_t bytes; /* apparent size, each inode once */
};

/* What holds for one guest after the run (with dry_run: would hold). */
struct vu_scan_guest {
	char *name; /* owned */
	char *path; /* owned */
	uint64_t dirs;
	uint64_t files;		 /* names of regular files: unified + private, as status counts */
	uint64_t inodes;	 /* of those that were private when the run began, each once */
	uint64_t bytes;		 /* apparent size of these inodes */
	uint64_t unified_before; /* names that were names of objects when the run began */
	uint64_t unified_now;	 /* names that became so in this run */
	uint64_t private_names;	 /* names that are not, after it */
	uint64_t saved_bytes;	 /* disk freed by this run */
	struct vu_scan_count skips[VU_SKIP_N];
	/* remerge: names of objects when they were last looked at, and found to be private */
	uint64_t broken;
	uint64_t again;			  /* of these, unified in this run */
	uint64_t broken_skips[VU_SKIP_N]; /* the others, by the reason why they stay private */
};

/* total sums up the guests; its name and path are NULL. */
struct vu_scan_report {
	struct vu_scan_guest *guests; /* owned */
	size_t n_guests;
	struct vu_scan_guest total;
	uint64_t read_bytes;	/* read from guests */
	uint64_t hashed_bytes;	/* of these, hashed; the others were compared */
	uint64_t objects_new;	/* objects made (or that would be made) */
	uint64_t names_unified; /* names that became names of objects in this run */
	uint64_t saved_bytes;	/* disk freed by this run */
	bool disk_only;		/* mode = reflink: extents are shared, pages in memory are not */
	struct vu_estimate_report
		memory;		  /* with dry_run, unless disk_only: what would be freed of it */
	uint64_t objects_evicted; /* objects replaced because somebody got them open for writing */
	struct vu_freezer_stats frozen;
	uint64_t warnings; /* VU_EVENT_WARN sent */
	uint64_t damages;  /* VU_EVENT_DAMAGE sent */
	double seconds;
};

/*
 * Runs a scan. Returns 0, an enum vu_ops_e or a negative errno. ret_report is written also when the
 * run was cancelled: it says what was done until then. In all other failures it is zeroed.
 */
int vu_ops_scan(struct vu_ops *ops, const struct vu_scan_options *o,
		struct vu_scan_report *ret_report);

/* Frees what r owns and zeroes it. */
void vu_scan_report_done(struct vu_scan_report *r);
