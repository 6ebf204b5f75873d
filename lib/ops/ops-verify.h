/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proves that the pools hold what they should: reads objects and computes their names anew, looks at flags, link
 * counts, names in the guests, the catalog, and what lies about in the pools. Changes nothing, unless asked to repair.
 *
 * A part is read at a time where that is wanted: a subset of the keys, or as much as there is time for. The
 * place where it stopped is kept in the catalog, for each file system and subset, and the next run goes on
 * there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/portion.h"
#include "ops/context.h"

struct vu_verify_options {
	char **roots; /* borrowed; roots of guests, or their names: the file systems they are on */
	size_t n_roots;		 /* 0: the registered guests */
	struct vu_subset subset; /* zeroed: all */
	uint64_t max_ns;	 /* no object is begun with after that time; 0: none */
	bool resume;		 /* go on where the last run of the same subset stopped */
	bool repair;		 /* replace what is damaged, or quarantine it */
	bool dry_run;		 /* with repair: only say so */
	const char *const *
		from; /* borrowed; NULL-terminated: files, directories, archives and images with copies; or NULL */
};

struct vu_verify_report {
	uint64_t pools;
	uint64_t objects;  /* in them */
	uint64_t verified; /* whose content was read */
	uint64_t bytes;	   /* of it */
	bool complete;	   /* all that was asked for: there was time enough */
	uint64_t damaged;  /* objects that are not what their names say, or cannot be read */
	uint64_t repaired; /* of these: replaced, with the content as it was */
	uint64_t quarantined;
	uint64_t open;		 /* objects that are not immutable */
	uint64_t strangers;	 /* names in the pools that vunify does not know */
	uint64_t rescued;	 /* files in .vunify/rescued */
	uint64_t misrecorded;	 /* objects of which the catalog says what is not so */
	uint64_t unrecorded;	 /* objects that it does not know */
	uint64_t names;		 /* names of objects in the guests */
	uint64_t outside;	 /* objects with further names in no registered guest */
	uint64_t unnamed;	 /* objects that no guest has */
	uint64_t names_unknown;	 /* names that the catalog does not know (yet) */
	uint64_t names_recorded; /* names that the catalog knows, and no guest has */
	uint64_t warnings;
	uint64_t damages;
	double seconds;
};

/* Returns 0, an enum vu_ops_e or a negative errno; the report is written also when cancelled. */
int vu_ops_verify(struct vu_ops *ops, const struct vu_verify_options *o,
		  struct vu_verify_report *ret_report);
