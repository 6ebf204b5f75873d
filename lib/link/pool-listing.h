/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of a pool in memory: their keys, and which inode has which. A plain value that owns its arrays; a
 * listing of one moment, which recovery works through and link/pool-index brings up to date. Written by one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/inomap.h"
#include "link/pool.h"

struct vu_pool_listing {
	struct vu_inomap by_ino; /* index in keys */
	struct vu_key *keys;	 /* owned */
	uint32_t n, cap;
};

/* Lists the pool into one that is zeroed. Returns 0 or a negative errno; _done in any case. */
int vu_pool_listing_read(struct vu_pool_listing *l, const struct vu_pool *p);
void vu_pool_listing_done(struct vu_pool_listing *l);

/* The key of the object with this inode, or NULL. */
const struct vu_key *vu_pool_listing_find(const struct vu_pool_listing *l, uint64_t ino);
