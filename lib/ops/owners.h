/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which objects a guest has names of already: two equal files of one guest are never made one. Known
 * from the directories that were read in this run, and for those that were not from the catalog, which
 * is not believed blindly: see vu_owners_prove(). Only objects that the files read in this run may join are looked for
 * beforehand. Belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/inomap.h"
#include "model/plan.h"
#include "model/tree.h"
#include "ops/session.h"

/* Positive result of vu_owners_prove(). */
enum vu_owners_e {
	VU_OWNERS_UNKNOWN = 1 /* read all directories of the guests, and ask again */
};

struct vu_owners {
	struct vu_session *session; /* borrowed */
	struct vu_tree *tree;	    /* borrowed; walked */
	struct vu_inomap
		*objects;	  /* owned; one for each guest: inodes of objects it has names of */
	struct vu_inomap *names;  /* owned; one for each file system: ino -> how many are known */
	struct vu_inomap *wanted; /* owned; one for each file system: objects that are looked for */
	struct vu_inomap *doubts; /* owned; one for each file system: objects with names unknown */
	struct vu_inomap *listed; /* owned; one for each guest: directories that were read */
	struct vu_inomap
		outdated; /* directories of which the catalog is not believed, or not quite */
	bool all;	  /* every object is looked for */
	int error;	  /* of vu_owners_has(), as of vu_ops functions */
};

/*
 * Learns it, for a session whose guests were walked, and whose files were read. o is zeroed, and to be freed in
 * any case. Returns 0, or as vu_ops functions.
 */
int vu_owners_know(struct vu_owners *o, struct vu_session *s, struct vu_tree *t);

/*
 * Also true of an object that was in doubt when that was to be proved, and where it cannot be told: that is an error of
 * vu_owners_prove().
 */
bool vu_owners_has(struct vu_owners *o, uint32_t guest, uint64_t ino);

/*
 * Are all names known of the objects that get further ones by the plan? Each has as many links as it has
 * known names, and one in the pool; names in guests that are no part of the run are looked for where
 * that does not fit. Returns 0, VU_OWNERS_UNKNOWN, or a negative errno.
 */
int vu_owners_prove(struct vu_owners *o, const struct vu_plan *plan);

/* Frees what o owns. Accepts a zeroed struct. */
void vu_owners_done(struct vu_owners *o);
