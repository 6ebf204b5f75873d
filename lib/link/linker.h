/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out a plan: makes objects, moves names to them, frees what was replaced. With link/breaker
 * and link/evict the only code that changes guests. Never loses a byte: what it replaces is freed only
 * when it is proven to be superfluous (see the top of linker.c). Called by the coordinating thread,
 * once at a time; runs workers of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/pool.h"
#include "link/slip.h"
#include "model/event.h"
#include "model/guest.h"
#include "model/plan.h"
#include "model/progress.h"
#include "model/tree.h"

struct vu_linker_env {
	struct vu_tree *tree; /* records of what is linked are brought up to date */
	const struct vu_guests *guests;
	const int *root_fds;	      /* one for each guest: open directories (O_PATH is enough) */
	struct vu_pool *const *pools; /* by index of the file system; opened with VU_POOL_CREATE */
	unsigned jobs;		      /* workers; 0 is as 1 */
	bool mtime_exact;	      /* as in the keys of the plan */
	size_t max_xattr_bytes;
	const struct vu_sink *sink; /* UNIFY per name, SKIP per inode, WARN, DAMAGE; or NULL */
	const struct vu_slip_watch *watch; /* or NULL: who slips in cannot be told */
	struct vu_progress *progress;	   /* files: names done; or NULL */
};

struct vu_linker_stats {
	uint64_t names;	      /* names that became names of objects */
	uint64_t inodes;      /* inodes freed by that */
	uint64_t bytes;	      /* disk bytes these occupied */
	uint64_t objects_new; /* inodes that became objects */
	uint64_t put_back; /* inodes whose names were moved and moved back: somebody needed them */
	uint64_t interrupted; /* moments after which somebody had to be interrupted */
	uint64_t slips; /* somebody got an object open for writing all the same: see link/evict.h */
	uint64_t put_right;	 /* metadata changed in a moment and put right */
	uint64_t failed;	 /* inodes that could not be moved: they have a skip now */
	int64_t dirs_changed_ns; /* when a directory was last changed (base/clock.h); 0: none was */
	uint32_t
		stopped_at; /* where an error ended the run: 1 + index of the file system; 0: it did not */
};

/*
 * Carries out the plan. The tree's records say what became of each inode: VU_INODE_UNIFIED with key =
 * the object's inode number in the tree, and its names unified; or a skip. Keepers that became objects
 * have VU_INODE_ADOPTED | VU_INODE_OBJECT, their key's number, and size, times and links as they are
 * now. Directories in which names were replaced are VU_DIR_TOUCHED; their mtime is put back where it
 * was what the tree says.
 *
 * Objects that somebody got open for writing are noted (link/slip.h), and are for the caller to evict.
 *
 * Returns 0; -ECANCELED after a stop; -ENOSPC or -EDQUOT when the disk is full; -EBUSY when a journal
 * of a pool is not empty (recovery is needed first); or another negative errno. In all cases
 * everything is consistent and ret (always written) says what was done.
 */
int vu_linker_run(const struct vu_linker_env *env, const struct vu_plan *plan,
		  struct vu_linker_stats *ret);
