/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a guest: its tree goes away, whatever is immutable in it, and the other guests keep what they
 * shared with it. It leaves its place by one rename first, so that nobody starts half of it; killed at any
 * instant, the same again goes on, as recovery does. It stays registered until it is gone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/freezer.h"
#include "ops/context.h"

struct vu_remove_report {
	char *guest;	/* owned; its name */
	char *path;	/* owned; its root, as it was */
	uint64_t names; /* names of objects */
	uint64_t files; /* other names: private files, links, devices, ... */
	uint64_t dirs;
	uint64_t
		private_bytes; /* apparent size of its private files; 0 when that is not known any more */
	uint64_t objects_removed; /* objects that nobody else had */
	struct vu_freezer_stats frozen;
	uint64_t warnings;
	uint64_t damages;
	double seconds;
};

void vu_remove_report_done(struct vu_remove_report *r);

struct vu_remove_options {
	const char *guest; /* borrowed; its name, or its root */
	bool dry_run;	   /* change nothing */
	/*
	 * Is asked when nothing speaks against it and nothing was changed: shall it be removed? The report
	 * says what would go. NULL: yes. Not asked where a removal goes on.
	 */
	bool (*confirm)(void *arg, const struct vu_remove_report *r);
	void *arg;
};

/*
 * Returns 0, an enum vu_ops_e or a negative errno; the report is written also when cancelled (VU_OPS_CANCELLED),
 * and is the caller's to free in any case. VU_OPS_REFUSED: processes run in it, something is mounted below
 * it, or it holds what the admin made immutable or append-only.
 */
int vu_ops_remove(struct vu_ops *ops, const struct vu_remove_options *o,
		  struct vu_remove_report *ret_report);
