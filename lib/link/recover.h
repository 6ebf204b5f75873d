/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After a crash: objects get their flag again, what is left in the stage is removed or put back, the
 * journals are emptied. Idempotent; needs no catalog: inodes, keys and the journal decide. Called by
 * the coordinating thread with the pool opened by VU_POOL_CREATE, before anything is linked. What can
 * neither be proven superfluous nor be put back is moved to .vunify/rescued and told.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/pool.h"
#include "link/slip.h"
#include "model/event.h"

struct vu_recover_env {
	/*
	 * The open root (O_PATH is enough; borrowed) of the guest whose root has this inode number on the
	 * pool's file system, and was at path when last seen. A negative errno when it is not known: what
	 * belongs there is left for another time.
	 */
	int (*root)(void *arg, uint64_t ino, const char *path);
	/*
	 * Asked for one that root does not know: is no guest registered that has this root? Then nobody will ever name
	 * it, and what belongs there is rescued. NULL: that cannot be told.
	 */
	bool (*is_forgotten)(void *arg, uint64_t ino);
	void *root_arg; /* of both */
	const char *const
		*domains; /* NULL-terminated: domains that keys may be of; "" is implied */
	size_t max_xattr_bytes;
	const struct vu_slip_watch *watch; /* or NULL: who slips in cannot be told */
	const struct vu_sink *sink; /* RECOVER for each thing put right, WARN, DAMAGE; or NULL */
	bool dry_run;		    /* only say (and count) what would be put right */
};

struct vu_recover_stats {
	uint64_t objects;	 /* objects looked at */
	uint64_t reflagged;	 /* objects that got their flag again */
	uint64_t objects_given;	 /* objects given back to the one guest that has them */
	uint64_t names_removed;	 /* names removed from the stage, and objects without any guest */
	uint64_t names_restored; /* names put back: they held the newer file */
	uint64_t trees_removed;	 /* trees that were being made or removed (link/trees.h) */
	uint64_t rescued;	 /* moved to .vunify/rescued */
	uint64_t slipped; /* objects that are open for writing: to be evicted (link/evict.h) */
	uint64_t damaged; /* objects that are not what their name says */
	uint64_t left;	  /* left where it is: guest not known, or object with a writer */
};

/*
 * Has a run been cut short: is there a line in a journal, a name in the stage, a tree, an object that is not
 * immutable, or one to be evicted, which nobody has claimed (link/claim.h)? Returns 1 or 0, or a negative
 * errno. Any thread, with any pool that is open.
 */
int vu_recover_is_needed(const struct vu_pool *pool);

/*
 * The same but for the objects, of which there may be many: whoever opens a moment has written a line before, or has
 * a tree on its way (link/naming.h). So this misses only objects that lost their flag in another way (by hand; by a
 * power cut where they have a guard instead); and is for who looks at them anyway.
 */
int vu_recover_is_left(const struct vu_pool *pool);

/*
 * Recovers a pool; adds to stats. Returns 0, or a negative errno (what was done is done, the rest can
 * be done again; -ECANCELED after a stop: large trees take a while). Objects that are open for writing never
 * stop it: see slipped; on ext4 they are told as damage.
 */
int vu_recover_run(struct vu_pool *pool, const struct vu_recover_env *env,
		   struct vu_recover_stats *stats);
