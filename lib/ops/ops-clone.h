/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new guest beside another: equal to it but for what must not be the same twice ([clone] in the
 * configuration), and sharing with it what that shares. It is made in the pool and gets its name when it is
 * complete, by one rename; killed before, nothing of it is left behind the next run. The other guest may
 * run meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/copytree.h"
#include "link/freezer.h"
#include "ops/context.h"

struct vu_clone_options {
	const char *guest; /* borrowed; name or root */
	const char *new;   /* borrowed; a name, for a root beside that of guest, or a path */
	bool trust_guests;
	bool dry_run;
};

struct vu_clone_report {
	char *guest; /* owned; the new one's name */
	char *path;  /* owned; its root */
	struct vu_copytree_stats tree;
	struct vu_freezer_stats frozen;
	uint64_t warnings;
	uint64_t damages;
	double seconds;
};

void vu_clone_report_done(struct vu_clone_report *r);

/*
 * Returns 0, an enum vu_ops_e or a negative errno; the report is the caller's to free in any case.
 * VU_OPS_REFUSED: the new root would lie in a guest, on another mount, or under another project.
 */
int vu_ops_clone(struct vu_ops *ops, const struct vu_clone_options *o,
		 struct vu_clone_report *ret_report);
