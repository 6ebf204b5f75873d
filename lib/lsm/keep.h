/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of a pool under the guard: each is marked, and loses its immutable flag then; and the way back, the flag
 * before the mark. So at every instant an object has its flag, or a mark, or both, whoever is killed when. The
 * order, and how each step is proven, is at the top of keep.c. Works beside linkers and breakers (link/claim.h).
 * The keeper's thread (lsm/lsm.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/pool.h"

struct vu_held;
struct vu_keep;

enum vu_keep_e {
	VU_KEEP_UNGUARDED =
		1,    /* the guard does not keep a file of this file system from being changed */
	VU_KEEP_LEFT, /* some objects could not be given their flag: their marks stay */
};

struct vu_keep_stats {
	uint64_t guarded; /* objects that are marked and have no flag */
	uint64_t flagged; /* objects that keep their flag for now: in use by somebody else */
	uint64_t full;	  /* objects that keep it because there is no room for more marks */
	uint64_t unheld;  /* objects that are guarded, but have no lease: no descriptor was left */
	uint64_t bare;	  /* objects with neither: for recovery */
	uint64_t failed; /* objects with which something else went wrong; they keep what they had */
	int error;	 /* the last reason of these, a negative errno; or 0 */
};

/*
 * Tries the guard on a file of the pool's own that nobody else sees. pool is open with VU_POOL_SHARE and outlives it;
 * marks is the map; held (lsm/held.h) is told of each object that is guarded, and outlives it, too: or NULL.
 * Returns 0, VU_KEEP_UNGUARDED or a negative errno; then nothing has changed.
 */
int vu_keep_new(const struct vu_pool *pool, int marks, struct vu_held *held, struct vu_keep **ret);

/*
 * Guards the objects that are new, and forgets those that are none any more. ret says what there is.
 * Returns 0, VU_KEEP_UNGUARDED when an object was not kept from being written to (it has its flag again), or a negative
 * errno.
 */
int vu_keep_sweep(struct vu_keep *k, struct vu_keep_stats *ret);

/* Does who opens one of its objects for writing get a copy? */
bool vu_keep_makes_copies(const struct vu_keep *k);

/* held is about to go. */
void vu_keep_let_go(struct vu_keep *k);

/* The way back, for all objects of the pool. Returns 0, VU_KEEP_LEFT or a negative errno. */
int vu_keep_release(struct vu_keep *k, struct vu_keep_stats *ret);

/* What is guarded stays so. Accepts NULL, returns NULL. */
struct vu_keep *vu_keep_free(struct vu_keep *k);
