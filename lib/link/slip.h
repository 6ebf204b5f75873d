/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slips: objects that somebody got open for writing in spite of lease and flag. What has to be known to
 * evict one (link/evict.h) is put aside at once, in the pool, so that it outlives this process: that
 * it happened, its verified content, and which guests had a hand in it. Owns .vunify/slipped; changes
 * no guest and no object. Noted by link/moment.c, read by who evicts.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "link/interrupt.h"
#include "link/object.h"
#include "link/pool.h"

struct vu_freezer;
struct vu_ledger;
struct vu_parking;

/* What was seen of one guest. */
struct vu_slip_seen {
	uint64_t root_ino; /* inode of its root; 0: of no guest */
	bool holds;	   /* one of its processes has the inode open for writing, or mapped */
	bool waited;	   /* one of its processes waited for the lease */
};

/* Given by who knows guests and processes. */
struct vu_slip_watch {
	const char *const
		*domains; /* NULL-terminated: that keys may be of; "" is implied; or NULL */
	/*
	 * Who has the inode open now (0: that need not be known), and whose are the processes that
	 * waited? Writes at most cap records. Returns their number or a negative errno. Any thread;
	 * NULL: nobody knows.
	 */
	int (*who)(void *arg, uint64_t dev, uint64_t ino, const struct vu_waiters *waited,
		   struct vu_slip_seen *ret, size_t cap);
	void *arg;
	struct vu_ledger
		*ledger; /* borrowed; or NULL: nobody closes what this process leaves open */
	struct vu_freezer *freezer; /* borrowed; or NULL: nobody is frozen for a moment */
	struct vu_parking *parking; /* borrowed; or NULL: leases are given back at once */
};

#define VU_SLIP_SEEN_MAX 64

/*
 * Notes a slip: puts a verified copy of the object aside (of its open file, else of twin, or -EBADF),
 * sets o->secured if that was possible, and writes down who is seen. Durable when it returns 0; else a
 * negative errno, and nobody will know of it. watch may be NULL. Any thread, with o->lock held.
 */
int vu_slip_note(const struct vu_slip_watch *watch, struct vu_object *o, int twin,
		 size_t max_xattr_bytes);

/*
 * Puts a verified copy aside for the object with this key, made of `from`: itself, as it is now, or
 * another one of the same hash. Returns 0; -ESTALE when that does not give the key; or a negative errno.
 */
int vu_slip_secure(const struct vu_slip_watch *watch, const struct vu_key *key,
		   const struct vu_object *from, size_t max_xattr_bytes);

/* Files that have what a damaged object had. */
struct vu_slip_source {
	int content;  /* borrowed; open for reading */
	int metadata; /* the same; xattrs and inode flags are taken from it */
	uint64_t size;
	uint64_t mtime_ns;
	const struct vu_attr *attr; /* full; mode, owner, and what the xattrs are to be */
};

/*
 * Notes an object that is damaged, to be evicted like one that somebody got open for writing: puts a verified copy
 * of source aside, and writes down why. Durable when it returns 0; -ESTALE when that does not give the key, -EEXIST
 * when the object is noted already, or another negative errno: then nothing is noted.
 */
int vu_slip_note_damage(const struct vu_slip_watch *watch, const struct vu_pool *pool,
			const struct vu_key *key, const struct vu_slip_source *source,
			size_t max_xattr_bytes);

/*
 * Is the object noted because it is damaged? Without a copy (vu_slip_copy_open) that was cut short, and means nothing.
 * 1, 0, or a negative errno.
 */
int vu_slip_is_damage(const struct vu_pool *p, const struct vu_key *key);

/* Is the content of the object's open file still what its key says? Reads it. 1 or 0. Any thread. */
bool vu_slip_intact(const struct vu_slip_watch *watch, const struct vu_object *o,
		    size_t max_xattr_bytes);

/* Calls fn for each object that is noted, until it returns non-zero, which is returned; or errno. */
int vu_slip_each(const struct vu_pool *p, int (*fn)(void *arg, const struct vu_key *key),
		 void *arg);

/* Who was seen: writes at most cap records. Returns their number, 0 without a note, or errno. */
int vu_slip_seen(const struct vu_pool *p, const struct vu_key *key, struct vu_slip_seen *ret,
		 size_t cap);

/* Opens the verified copy for reading. Returns the fd, -ENOENT, or another negative errno. */
int vu_slip_copy_open(const struct vu_pool *p, const struct vu_key *key);

/* Takes the copy's name away; it must not be immutable. Returns 0 (also without one) or errno. */
int vu_slip_copy_unlink(const struct vu_pool *p, const struct vu_key *key);

/* The object has been evicted, or need not be: nothing is known of it any more. 0 or errno. */
int vu_slip_forget(const struct vu_pool *p, const struct vu_key *key);
