/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A second tree equal to a guest's: what is a name of an object there is one here, everything else is copied
 * (shared extents where the file system has them) with owner, mode, times, xattrs, flags and inner hard
 * links. The tree is made in a place of the pool (link/trees.h), so it is no guest's until it is
 * complete. The one it is made of may run, and be hostile: nothing but regular files and directories is
 * opened, no link is followed, no mount entered. Owns no policy but that list of what is not copied as
 * it is. Called by the coordinating thread with the pool's lock held.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/moment.h"
#include "link/pool-listing.h"
#include "model/progress.h"

struct vu_copytree_env {
	const struct vu_pool *pool;	       /* borrowed */
	const struct vu_pool_listing *objects; /* borrowed; of that pool; or NULL: there are none */
	struct vu_moment_env *moment;	       /* borrowed */
	unsigned jobs;			       /* threads; 0 is as 1 */
	uint32_t max_depth;		       /* levels below the root */
	uint64_t max_files;		       /* names; memory grows with directories */
	char *const *reset; /* of model/reset.h: regular files that are emptied, or left out */
	const char *guest;  /* of which it is made; for events */
	bool dry_run;	    /* only count */
	struct vu_progress *progress; /* files: names; or NULL */
};

struct vu_copytree_stats {
	uint64_t names;	       /* that became names of objects */
	uint64_t copied;       /* regular files that were copied: inodes */
	uint64_t copied_bytes; /* apparent size of these */
	uint64_t dirs;
	uint64_t
		others; /* symbolic links, devices, FIFOs, sockets, and further names of what was copied */
	uint64_t reset;	  /* files emptied or left out */
	uint64_t mounts;  /* mounts and subvolumes that were not entered: told as SKIP */
	uint64_t changed; /* files that changed each time they were copied, or went: told as WARN */
};

enum vu_copytree_e {
	VU_COPYTREE_TOO_DEEP = 1, /* deeper than max_depth */
	VU_COPYTREE_TOO_MANY,	  /* more names than max_files */
};

/*
 * Makes `root` in the open directory place of the tree below the open directory from (O_PATH is enough).
 * Returns 0; an enum vu_copytree_e; -ECANCELED after a stop; or another negative errno, with
 * *ret_at (owned by the caller, or NULL) the path at which it ended. ret is written in any case.
 */
int vu_copytree(const struct vu_copytree_env *env, int from, int place,
		struct vu_copytree_stats *ret, char **ret_at);

/*
 * What the root itself can only be given when it has its name: the times, which a rename may change, and
 * flags, which forbid one. root: the open directory (O_RDONLY); like: what it was made of. Returns 0 or a
 * negative errno.
 */
int vu_copytree_settle(int root, const struct vu_stat *like);
