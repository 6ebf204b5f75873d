/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects at work in a process that breaks links while guests run: there is one struct vu_object for each
 * inode, whichever threads need it, and it is kept for some milliseconds behind its last moment, so that
 * nobody waits for the end of its cool-down, and the next break of the same object finds it open. Owns a
 * thread that gives them back. Any thread.
 */
#pragma once

#include <stddef.h>

#include "link/moment.h"

struct vu_object_table;

/* env and pool outlive it. Returns 0 or a negative errno. */
int vu_object_table_new(struct vu_moment_env *env, const struct vu_pool *pool,
			struct vu_object_table **ret);

/* Nobody may have an object of it. Accepts NULL, returns NULL. */
struct vu_object_table *vu_object_table_free(struct vu_object_table *t);

/*
 * Opens an object, or finds it open; may wait for another process that works on it, or for room. Returns as
 * vu_object_open (1: also for one that is to be evicted). To be given back by vu_object_table_put.
 */
int vu_object_table_get(struct vu_object_table *t, const struct vu_key *key, uint64_t ino,
			struct vu_object **ret);
void vu_object_table_put(struct vu_object_table *t, struct vu_object *o);
