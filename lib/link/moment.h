/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects at work, and the moments in which one of them is not immutable. A name can be added to or
 * taken from an immutable inode only while its flag is off; a moment is that time, and this file is
 * the only one that begins and ends it. It sees to it that nobody gets a writable descriptor out of a
 * moment, and that the object is afterwards what it was before; and where somebody got one after all,
 * that this is noted (link/slip.h), for the object to be evicted. What it relies on is written at the
 * top of moment.c. Used by linker, breaker and recovery.
 */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "link/object.h"
#include "link/slip.h"
#include "model/event.h"

#define VU_GRACE_NS UINT64_C(20000000)	  /* a replaced file is kept that long before it is freed */
#define VU_COOL_DOWN_NS UINT64_C(5000000) /* openers are interrupted for that long after a moment */
#define VU_LANDING_NS UINT64_C(60000000)  /* the same after a moment in which somebody came */
#define VU_SLIP_NS UINT64_C(2000000000)	  /* how long the end of a slip is waited for on ext4 */

/* Counters of the moments; advanced atomically. */
struct vu_moment_stats {
	uint64_t moments;
	uint64_t interrupted; /* moments after which somebody had to be interrupted */
	uint64_t slips;	      /* somebody got a writable descriptor all the same */
	uint64_t parked;      /* objects given up before anybody could */
	uint64_t
		put_right; /* mode, owner, times or xattrs were changed in a moment, and put right */
};

/* What all threads of a run share. */
struct vu_moment_env {
	const struct vu_sink *sink; /* borrowed; called under sink_lock */
	pthread_mutex_t sink_lock;
	size_t max_xattr_bytes;
	const struct vu_slip_watch *watch; /* borrowed; or NULL. Set by the owner after _init */
	struct vu_moment_stats stats;
};

void vu_moment_env_init(struct vu_moment_env *env, const struct vu_sink *sink,
			size_t max_xattr_bytes);
void vu_moment_env_done(struct vu_moment_env *env);

/* Whom to freeze for a moment, or NULL: for callers that begin several of them together. */
struct vu_freezer *vu_moment_freezer(const struct vu_moment_env *env);

/* Where open moments are written down (link/ledger.h), or NULL. */
struct vu_ledger *vu_moment_ledger(const struct vu_moment_env *env);

/* Sends an event under the sink's lock. */
void vu_moment_emit(struct vu_moment_env *env, const struct vu_event *e);

/* An event about an object: WARN or DAMAGE with this text. */
void vu_moment_tell(struct vu_moment_env *env, enum vu_event_kind kind, const struct vu_object *o,
		    int err, const char *text);

uint64_t vu_moment_now(void);

/*
 * Gives a reference back; with the last one the lease is given back, after the cool-down and when
 * nobody waits for it. Accepts NULL, returns NULL.
 */
struct vu_object *vu_object_unref(struct vu_moment_env *env, struct vu_object *o);

/*
 * Begins a moment: freezes who can be frozen, locks the object, sees to it that nobody waits for the lease,
 * takes the flag off. Returns 0; -ESTALE when the object is found lost just now (once; whoever must, may
 * ask again); -ENOENT when it is none any more; or a negative errno; then with the object unlocked and unchanged.
 */
int vu_moment_begin(struct vu_moment_env *env, struct vu_object *o);

/* The same for what need not be done: -EAGAIN where somebody is to be frozen and cannot be. */
int vu_moment_begin_strict(struct vu_moment_env *env, struct vu_object *o);

/* The same for a caller that is in the freezer already (vu_freezer_enter), and leaves it afterwards. */
int vu_moment_begin_inside(struct vu_moment_env *env, struct vu_object *o);

/*
 * Ends it: flag on, whoever waits is interrupted, and the object is put right if its metadata were
 * changed. twin (or -EBADF) is an open file with the same xattrs, from which they are restored.
 * Returns 0, or a negative errno when the flag could not be set: the run must stop. Afterwards o->lost
 * says whether somebody slipped in; of its content twin is the second source then.
 */
int vu_moment_end(struct vu_moment_env *env, struct vu_object *o, int twin);

/*
 * The same, but without waiting until whoever came has gone: the object may be hot afterwards, and
 * vu_moment_cool is to be called every millisecond or so until it is not. Further moments may begin
 * meanwhile; but nothing that the object replaced may be given up.
 */
int vu_moment_end_hot(struct vu_moment_env *env, struct vu_object *o, int twin);

#define VU_HOT_MAX 16 /* hot objects of one caller */

/* Is it hot still? Any thread. */
static inline bool vu_moment_is_hot(const struct vu_object *o)
{
	return o->cooling.hot;
}

/*
 * For each of n hot objects (VU_HOT_MAX at most): interrupts whoever has come, and when nobody does any
 * more, or somebody cannot be interrupted, ends it. late_ns: how long the calling thread had to wait for a
 * processor lately.
 */
void vu_moment_cool(struct vu_moment_env *env, struct vu_object *const *v, size_t n,
		    uint64_t late_ns);

/*
 * Ends a moment after which the inode is no object any more: its flag stays off, and whoever waits
 * is let in. Only the caller may have a reference that matters.
 */
void vu_moment_end_private(struct vu_moment_env *env, struct vu_object *o);

/*
 * vu_pool_object_remove, guarded: its object has no flag for an instant, and is in no guest. Returns what
 * that does.
 */
int vu_moment_remove_unused(struct vu_moment_env *env, const struct vu_pool *pool,
			    const struct vu_key *key);

/*
 * Between moments: has somebody come to wait who was on his way since the last one? He is interrupted.
 * To be called now and then while an object is held, well within lease-break-time, after which the
 * kernel would let him in; and often, for he waits. Costs 0.3 microseconds.
 */
void vu_moment_look(struct vu_moment_env *env, struct vu_object *o);

/* The same, but it may be hot afterwards, as behind vu_moment_end_hot. */
void vu_moment_look_hot(struct vu_moment_env *env, struct vu_object *o);

/* The flag is on and the object is parked: interrupts whoever waits, until nobody comes any more. */
void vu_moment_calm(struct vu_object *o);

/*
 * The flag is on and the lease is being broken: interrupts whoever waits, and takes the lease anew.
 * For who sets the flag outside of a moment (recovery). Returns 0.
 */
int vu_moment_settle(struct vu_moment_env *env, struct vu_object *o);

/* SIGIO, by which the kernel tells of a lease being broken, is ignored unless somebody handles it. */
void vu_moment_ignore_sigio(void);
