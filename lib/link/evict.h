/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last resort: an object that somebody got open for writing (link/slip.h) is an object no longer; nor is one
 * that is damaged, and of which a verified copy was put aside.
 * Its verified content goes into a new object, the names that guests have of it move there, and the
 * inode is left to the guest that opened it, as its private file. Called by the coordinating thread
 * after linker, breaker and recovery, with the pools opened by VU_POOL_CREATE; the caller finds the
 * names by walking all guests.
 *
 * Who opened it? The one guest of which a process has it open, or had when the slip was noted; if nobody
 * has it open any more, the one guest whose processes waited for its lease then. A process of the host
 * counts for the guest in whose tree it opened the file. Where that is no guest, or more than one, or a
 * guest that has no name of it by now, nobody keeps the inode: all names move, so that no guest sees
 * what another has written, and the inode goes to .vunify/rescued, so that no write is lost.
 *
 * Of a damaged one nobody keeps the inode: all names move, under its lease, and it goes to .vunify/rescued.
 *
 * Most are evicted before anybody has them open: their lease is kept (link/parking.h). Then the guest that
 * waited for it keeps the inode, and if it was more than one, nobody does and nothing was written.
 * Without that lease the flag of the evicted inode is off, while its names move, with nothing to guard
 * it (there is a writer): another guest that opens it for writing just then is seen afterwards, and told
 * as damage.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "link/breaker.h"

/* One object to be evicted, and all names that guests have of it. */
struct vu_evict {
	uint32_t fs; /* index in pools */
	struct vu_key key;
	uint64_t ino;		     /* of the object, 0 when it is gone */
	struct vu_break_item *items; /* borrowed; one for each guest that has names of it */
	size_t n_items;
};

struct vu_evict_stats {
	uint64_t evicted;  /* objects that were replaced by a new one */
	uint64_t names;	   /* names that moved */
	uint64_t unharmed; /* whoever had it open is gone, and it is what it was: it stays */
	uint64_t left;	   /* objects that could not be evicted, and stay noted */
};

/*
 * Looks at all objects of a file system that are noted. Those of which nothing is wrong (unharmed, told
 * as WARN; or no objects any more) are settled; of the others ret gets key and ino. Returns 0, or a
 * negative errno; *ret (owned by the caller: free()) has *ret_n elements.
 */
int vu_evict_look(const struct vu_breaker_env *env, uint32_t fs, struct vu_evict **ret,
		  size_t *ret_n, struct vu_evict_stats *stats);

/*
 * Evicts one. UNIFY for each name that moved, BREAK for each that is private now. WARN when all was put
 * right. DAMAGE when nobody could be given the inode; when a name could not be moved; or, for each guest,
 * when the verified content cannot be had any more: then everything stays as it is, and noted. Adds to
 * stats. Returns 0 in all these cases; -EBUSY when recovery is needed first; or a negative errno that
 * ends the run: the next one goes on.
 */
int vu_evict_run(const struct vu_breaker_env *env, struct vu_evict *e,
		 struct vu_evict_stats *stats);
