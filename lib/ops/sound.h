/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the content of an object what its name in the pool says? Asked by reading it, before a run gives
 * the object further names: an object is immutable, but a disk or a file system may damage it, and what
 * is damaged must not spread to guests that hold it sound. One thread.
 */
#pragma once

#include "base/hash.h"
#include "link/pool.h"
#include "model/digest.h"
#include "model/event.h"
#include "model/key.h"

/*
 * Reads the object and compares it with the digest that its content has to have. hash is the caller's.
 * Returns 1 sound, 0 damaged, -ENOENT and the like when it is not there, -ECANCELED after a stop, or
 * another negative errno (-EIO).
 */
int vu_sound_object(const struct vu_pool *pool, const struct vu_key *key, struct vu_hash *hash,
		    const struct vu_digest *digest);

/* The digest of an open file of that size, leaving the page cache alone. Returns 0 or a negative errno. */
int vu_sound_digest(struct vu_hash *hash, int fd, uint64_t size, struct vu_digest *ret);

/*
 * Tells that an object is damaged (r 0), or cannot be read (r: a negative errno). It is left as it is:
 * whoever has it has nothing better here.
 */
void vu_sound_tell(const struct vu_sink *sink, const struct vu_key *key, int r);
