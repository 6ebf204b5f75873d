/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests follow a template's post-processing: where a template's file at a path has changed from A to B
 * while its packages stayed the same, and a guest has A there, of the same packages, the guest's path becomes a
 * name of B's object. What decides is in match/follow.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/freezer.h"
#include "match/follow.h"
#include "model/skip.h"
#include "ops/context.h"

struct vu_propagate_options {
	const char *template; /* only what this one leads to; NULL: all templates */
	char **guests;	      /* borrowed; names or roots of guests that may follow */
	size_t n_guests;      /* 0: all registered ones */
	bool dry_run;	      /* change no guest, and note nothing */
	bool trust_guests;    /* as for scan */
};

/* What became of the paths of a guest at which a template has changed. */
struct vu_propagate_guest {
	char *name; /* owned */
	char *path; /* owned */
	uint64_t followed;
	uint64_t followed_bytes;
	uint64_t same; /* have the template's content already */
	uint64_t left; /* all others */
};

struct vu_propagate_report {
	struct vu_propagate_guest *guests; /* owned; without the templates */
	size_t n_guests;
	struct vu_propagate_guest total; /* its name and path are NULL */
	uint64_t why[VU_FOLLOW_N]; /* of those left; those that an enum vu_skip says more of: */
	uint64_t skips[VU_SKIP_N];
	uint64_t changes; /* paths of templates that have a past */
	uint64_t objects_new;
	uint64_t objects_removed;
	uint64_t objects_evicted;
	uint64_t read_bytes;
	struct vu_freezer_stats frozen;
	uint64_t warnings;
	uint64_t damages;
	double seconds;
};

/*
 * Returns 0, an enum vu_ops_e or a negative errno. The report is written also when the run was cancelled;
 * vu_propagate_report_done() in any case. Tells each path that follows (VU_EVENT_FOLLOW) or is left
 * (VU_EVENT_LEFT), with ops->per_file.
 */
int vu_ops_propagate(struct vu_ops *ops, const struct vu_propagate_options *o,
		     struct vu_propagate_report *ret_report);

/* Frees what r owns and zeroes it. */
void vu_propagate_report_done(struct vu_propagate_report *r);
