/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object that takes the place of an evicted one: made of the verified copy (link/slip.h), or of what
 * has the same content, under the next free name of the key. Part of link/evict; nobody else calls it.
 */
#pragma once

#include "link/moment.h"

/*
 * Opens the successor of `old`, whose key is key, with its lease; makes it where there is none yet. *ret
 * is NULL before. Returns 0; -ENODATA when the verified content cannot be had any more; or a negative
 * errno.
 */
int vu_successor_open(struct vu_moment_env *env, const struct vu_pool *pool,
		      const struct vu_key *key, const struct vu_object *old,
		      struct vu_object **ret);

/* Takes the copy's name away: in a moment of o, the object that it has become; or NULL. 0 or errno. */
int vu_successor_drop_copy(struct vu_moment_env *env, const struct vu_pool *pool,
			   const struct vu_key *key, struct vu_object *o);

/* Nothing is to be known any more of the object with this key: the copy's name goes, then the note. */
int vu_successor_forget(struct vu_moment_env *env, const struct vu_pool *pool,
			const struct vu_key *key);
