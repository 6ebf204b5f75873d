/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way back: gives names of objects private copies, equal in everything but the inode. All names
 * that an object has inside one guest get one copy together: they were one inode before. Needs no
 * catalog; the caller finds the names by walking the guest. Called by the coordinating thread with
 * the pools opened by VU_POOL_CREATE. Objects that somebody got open for writing are noted
 * (link/slip.h), their names left as they were (SKIP, open-for-write), and are for the caller to evict.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/pool.h"
#include "link/slip.h"
#include "model/event.h"
#include "model/guest.h"
#include "model/progress.h"

/* One object and all names that one guest has of it. */
struct vu_break_item {
	uint32_t guest; /* index in guests */
	uint32_t fs;	/* index in pools */
	struct vu_key key;
	uint64_t ino;	    /* of the object */
	const char **paths; /* borrowed; relative to the guest's root; all that it has */
	uint32_t n_paths;
	bool done; /* written: these names are private now */
};

struct vu_breaker_env {
	const struct vu_guests *guests;
	const int *root_fds;	      /* one for each guest: open directories (O_PATH is enough) */
	struct vu_pool *const *pools; /* by index of the file system */
	size_t n_pools;
	size_t max_xattr_bytes;
	const struct vu_sink *sink;   /* BREAK for each name, SKIP for what failed, WARN, DAMAGE */
	struct vu_progress *progress; /* files: names done; or NULL */
	const struct vu_slip_watch *watch; /* or NULL: who slips in cannot be told */
};

struct vu_breaker_stats {
	uint64_t names;		  /* names that are private now */
	uint64_t inodes;	  /* private inodes they have: copies, and objects given back */
	uint64_t copied_bytes;	  /* apparent size of these */
	uint64_t given;		  /* of the inodes: objects that were given back without a copy */
	uint64_t objects_removed; /* objects that no guest has any more */
	uint64_t failed;	  /* items that could not be broken */
	uint64_t needed_bytes;	  /* disk bytes that the copies need at most */
	uint64_t free_bytes;	  /* disk bytes free where they are needed */
	uint64_t interrupted, slips, put_right; /* as of the linker */
	/* With which item, or (1 + index; 0: none) on which file system an error ended the run. */
	const struct vu_break_item *stopped_at; /* of the items; or NULL */
	uint32_t stopped_fs;
};

enum vu_breaker_e {
	VU_BREAK_NO_SPACE = 1 /* needed_bytes are more than free_bytes: nothing was changed */
};

/*
 * What vu_breaker_run would have to copy: fills needed_bytes and free_bytes (of the first file system
 * where it does not fit). Returns 0, VU_BREAK_NO_SPACE, or a negative errno. Changes nothing.
 */
int vu_breaker_check(const struct vu_breaker_env *env, const struct vu_break_item *items, size_t n,
		     struct vu_breaker_stats *ret);

/*
 * Breaks all items, which should stand in the order of the walk. Checks the space first. Returns 0;
 * VU_BREAK_NO_SPACE; -ECANCELED after a stop; -ENOSPC, -EDQUOT; -EBUSY when recovery is needed first;
 * or another negative errno. In all cases everything is consistent, and ret is written.
 */
int vu_breaker_run(const struct vu_breaker_env *env, struct vu_break_item *items, size_t n,
		   struct vu_breaker_stats *ret);
