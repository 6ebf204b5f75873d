/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Removes whole trees that hold names of objects, whose other names stay what they are: what rm(1) cannot.
 * Works in a directory of the pool, where the trees were moved to (link/trees.h), so no guest comes there
 * by a path; who has a directory of such a tree open can still change it, and gets nothing else removed
 * by that: no link is followed, and no mount entered. Any depth, any number of names, with few
 * descriptors and little memory. Part of lib/link; called by the coordinating thread with the pool's
 * lock held.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/moment.h"
#include "link/pool-listing.h"
#include "model/progress.h"

struct vu_rmtree_env {
	const struct vu_pool *pool;	       /* borrowed */
	const struct vu_pool_listing *objects; /* borrowed */
	struct vu_moment_env *moment;	       /* borrowed */
	unsigned jobs;			       /* threads; 0 is as 1 */
	struct vu_progress *progress;	       /* files: names gone; or NULL */
	bool to_end;			       /* a stop that is asked for does not end it */
	bool clear_flags; /* also what is immutable or append-only by another hand than ours */
	/*
	 * Is told what could not be removed, by its last name; or NULL. Called by the coordinating thread, while others
	 * may tell something through moment.
	 */
	void (*failed)(void *arg, const char *name, int err);
	void *arg;
};

struct vu_rmtree_stats {
	uint64_t names; /* names of objects that are gone */
	uint64_t files; /* others that are no directories */
	uint64_t dirs;
	uint64_t objects_removed; /* objects that nobody had any more */
	uint64_t failed;
};

/*
 * Empties the open directory top (O_RDONLY), which is the pool's own. Adds to stats. Returns 0; -ENOTEMPTY when
 * something could not be removed, which was told; -ECANCELED after a stop; or another negative errno. What is
 * left can be removed by the next call.
 */
int vu_rmtree(const struct vu_rmtree_env *env, int top, struct vu_rmtree_stats *stats);
