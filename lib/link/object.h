/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An object at work: the open file, what its key promises of it, and whether it still holds that. Owns
 * the descriptor with the lease on it; takes no lease and no flag off itself (link/moment.h does, which
 * also gives references back). Used by all of lib/link.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/stat.h"
#include "link/interrupt.h"
#include "link/pool.h"
#include "model/attr.h"
#include "model/key.h"

/* Of an object into whose last moment somebody came (link/cooling.h). All times CLOCK_MONOTONIC. */
struct vu_cooling {
	_Atomic bool hot;   /* the rest means nothing without it */
	int twin;	    /* owned; or -EBADF */
	uint64_t first_ns;  /* since when the lease is being broken */
	uint64_t begun_ns;  /* end of the last moment */
	uint64_t looked_ns; /* when it was looked at first after that; 0: not yet */
	uint64_t came_ns;   /* when somebody was seen last; 0: nobody was */
	uint64_t late_ns;   /* how long this process had to wait for a processor, at most */
	unsigned n_seen;    /* looks since then that saw somebody */
	unsigned n_quiet;   /* looks since somebody was seen */
	bool found;	    /* the last look found the lease */
};

/* Counted; the last reference closes it. */
struct vu_object {
	const struct vu_pool *pool; /* borrowed */
	struct vu_key key;
	int fd; /* owned; the lease is on it, if there is one */
	uint64_t ino;
	uint64_t size;
	uint64_t mtime_ns;
	struct vu_attr attr;  /* full */
	pthread_mutex_t lock; /* held during a moment */
	_Atomic unsigned refs;
	uint64_t ended_ns; /* end of the last moment, CLOCK_MONOTONIC; 0: there was none */
	unsigned entry;	   /* of the moment in the ledger (link/ledger.h) */
	struct vu_cooling cooling;
	bool claimed; /* link/claim.h: given back with the last reference */
	bool marked; /* held by the guard (fs/guard.h) instead of a flag: there is no lease, nor need of one */
	bool given;   /* no object any more, but a guest's own file */
	bool froze;   /* the moment at hand has entered the freezer */
	bool rearmed; /* its lease was given up for an instant since metadata were compared */
	struct vu_waiters waited; /* who waited for it when it was given up the last time */
	_Atomic bool lost;    /* a writer slipped in and did not go: nothing may be linked to it */
	_Atomic bool secured; /* lost, but its verified content was put aside (link/slip.h) */
	bool parked; /* lost, but its lease is kept, so nobody has it open yet (link/parking.h) */
};

/*
 * Makes an object of an open file (read-only; its lease is held by the caller), which is what st and
 * attr (full) say. Takes fd over on success. Returns 0 or -ENOMEM.
 */
int vu_object_new_consume(const struct vu_pool *pool, const struct vu_key *key, int fd,
			  const struct vu_stat *st, const struct vu_attr *attr,
			  struct vu_object **ret);

struct vu_object *vu_object_ref(struct vu_object *o);

/*
 * Claims the object of an open file for this process, before a lease is taken; waits for a while. Returns
 * 0; 1 when another process works on it; or a negative errno. Whoever makes a struct vu_object of it sets
 * claimed there; else vu_object_unclaim.
 */
int vu_object_claim(const struct vu_pool *pool, uint64_t ino);
void vu_object_unclaim(const struct vu_pool *pool, uint64_t ino);

/*
 * The same as _new_consume with what the open file is now, claimed. Returns 0; 1 when another process works
 * on it; or a negative errno.
 */
int vu_object_of_consume(const struct vu_pool *pool, const struct vu_key *key, int fd,
			 size_t max_xattr_bytes, struct vu_object **ret, struct vu_stat *ret_st);

/*
 * Opens an object of the pool as it is now. leased: takes its lease, where the guard does not hold it anyway; without,
 * nothing keeps writers out (for one that is lost). Returns 0; 1 when somebody has it open for writing
 * (leased), or another process works on it; or a negative errno. ret_st (or NULL) is what it was.
 */
int vu_object_open(const struct vu_pool *pool, const struct vu_key *key, bool leased,
		   size_t max_xattr_bytes, struct vu_object **ret, struct vu_stat *ret_st);

/*
 * The same, leased, for a batch of objects: claim is what vu_claims_begin said.
 */
int vu_object_open_in_batch(const struct vu_pool *pool, const struct vu_key *key, bool claim,
			    size_t max_xattr_bytes, struct vu_object **ret, struct vu_stat *ret_st);

/*
 * Is the open file (fd) still what the object was made of, flag aside: size, mtime, mode, owner,
 * xattrs, flags? Returns 1 or 0, or a negative errno.
 */
int vu_object_holds(const struct vu_object *o, size_t max_xattr_bytes);

/*
 * With the flag off: makes the metadata of the open file (fd) what they were. twin (or -EBADF) is an
 * open file with the same xattrs. Returns 0; -EUCLEAN when the size is another, which cannot be made
 * good; -ENODATA when xattrs are missing and there is no twin; or a negative errno.
 */
int vu_object_restore(const struct vu_object *o, int twin, size_t max_xattr_bytes);
