/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which inodes of a file system are objects: the names in a pool, by inode number, for who is asked about
 * single inodes all the time. Owns a copy of the pool's listing, and brings it up to date when an inode
 * is asked for that may have become an object since. Decides nothing: an object is opened by its key, and
 * compared, before anything is done with it. Any thread.
 */
#pragma once

#include <stdint.h>

#include "fs/stat.h"
#include "link/pool.h"

struct vu_pool_index;

/* Lists the pool, which outlives it. Returns 0 or a negative errno. */
int vu_pool_index_new(const struct vu_pool *pool, struct vu_pool_index **ret);

/* Accepts NULL, returns NULL. */
struct vu_pool_index *vu_pool_index_free(struct vu_pool_index *x);

/*
 * Is the file that st describes, on the pool's file system, an object? Returns 1 (with its key), 0, or a
 * negative errno. Costs nothing for a file with one name.
 */
int vu_pool_index_find(struct vu_pool_index *x, const struct vu_stat *st, struct vu_key *ret);

/* An object is not where it was said to be: lists the pool anew at the next question. */
void vu_pool_index_stale(struct vu_pool_index *x);
