/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The leases of the keeper: on each object of a pool that is under the guard, so that who opens it for writing waits
 * (lsm/programs.bpf.c). Owns a descriptor for each. Nothing is less safe without them: then he is refused. One thread,
 * to which the kernel tells of each lease that is being broken by VU_HELD_SIGNAL (or, when too many wait, by
 * SIGIO), which that thread has blocked.
 *
 * A lease that is being broken makes everybody wait who comes, but the kernel takes it away after lease-break-time
 * (45 s), and it cannot be renewed in place. So it is given up and taken anew, as soon as nobody is known to wait. Who
 * comes in between is refused by file_post_open, and made to look again.
 */
#pragma once

#include <signal.h>
#include <stdint.h>

#include "fs/guard.h"
#include "lsm/asks.h"

#define VU_HELD_SIGNAL (SIGRTMIN + 3)

struct vu_held;

/* asks and marks (the map) are borrowed, and outlive it. Returns NULL without memory. */
struct vu_held *vu_held_new(struct vu_asks *asks, int marks);

/* Gives all leases back. Accepts NULL, returns NULL. */
struct vu_held *vu_held_free(struct vu_held *h);

/*
 * Takes a lease on the object, opening it by fd anew. Returns 0 or a negative errno (-EMFILE: no descriptor is
 * left).
 */
int vu_held_add(struct vu_held *h, const struct vu_guard_mark *mark, int fd);

/* It is no object any more, or not under the guard. */
void vu_held_remove(struct vu_held *h, uint64_t ino);

/* As if there were a lease on the inode, for a trial. Returns 0 or a negative errno. */
int vu_held_try_begin(struct vu_held *h, const struct vu_guard_mark *mark);
void vu_held_try_end(struct vu_held *h, const struct vu_guard_mark *mark);

/* Is it one of those? */
bool vu_held_has(const struct vu_held *h, const struct vu_guard_mark *mark);

/* Somebody waits for its lease, and is seen to; he is not any more. A number of each for each. */
void vu_held_begin(struct vu_held *h, uint64_t ino);
void vu_held_end(struct vu_held *h, uint64_t ino);

/* The kernel has told that the lease of fd is being broken. fd may be none of these. */
void vu_held_broken(struct vu_held *h, int fd);

/* Which leases are being broken? For when the kernel could not tell of each. */
void vu_held_look(struct vu_held *h);

/*
 * Renews leases for which nobody is seen to. To be called every RENEW_MS while there are any: returns whether
 * there are.
 */
bool vu_held_renew(struct vu_held *h);
