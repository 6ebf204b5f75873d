/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The history: one row a run, and how each guest was left by the last run that looked at it. Plain
 * values. Errors: see catalog.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/catalog.h"
#include "model/skip.h"

#define VU_RUN_VERB_MAX 31

struct vu_run {
	int64_t id;			/* 0: not begun */
	char verb[VU_RUN_VERB_MAX + 1]; /* "scan", ... */
	bool dry_run;
	uint64_t started_ns; /* since the epoch */
	uint64_t ended_ns;   /* 0: it runs, or was killed */
	int outcome;	     /* exit status */
	uint64_t guests;
	uint64_t files; /* inodes */
	uint64_t names;
	uint64_t read_files;
	uint64_t read_bytes;
	uint64_t hashed_bytes;
	uint64_t unified; /* names */
	uint64_t broken;  /* names */
	uint64_t saved_bytes;
	uint64_t skipped; /* files */
	uint64_t warnings;
};

/* How a guest was left. */
struct vu_guest_stat {
	uint32_t guest; /* id */
	int64_t run;	/* id of the run that found it so */
	uint64_t dirs;
	uint64_t unified; /* names of objects */
	uint64_t unified_bytes;
	uint64_t private; /* private inodes */
	uint64_t private_bytes;
	uint64_t other; /* neither directory nor regular file */
	uint64_t saved_bytes;
	uint64_t skip_files[VU_SKIP_N];
	uint64_t skip_bytes[VU_SKIP_N];
};

/* Writes the row of a run that begins; sets run->id. */
int vu_catalog_run_begin(struct vu_catalog *cat, struct vu_run *run);

/* Writes how it ended, and replaces the stats of these guests (their .run is set by this), at once. */
int vu_catalog_run_end(struct vu_catalog *cat, const struct vu_run *run,
		       const struct vu_guest_stat *stats, size_t n_stats);

/* The last runs, newest first, at most limit. fn as in vu_catalog_load_unified(). */
int vu_catalog_runs(struct vu_catalog *cat, uint32_t limit,
		    int (*fn)(void *arg, const struct vu_run *run), void *arg);

/* The stats of a guest; zeroes (with .guest set) where none were written. */
int vu_catalog_guest_stat(struct vu_catalog *cat, uint32_t guest, struct vu_guest_stat *ret_stat);

/*
 * When the run ended (or, where it was killed, began) that looked at the guest last, in nanoseconds since the
 * epoch; 0: none has.
 */
int vu_catalog_looked_at(struct vu_catalog *cat, uint32_t guest, uint64_t *ret_ns);
