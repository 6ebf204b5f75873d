/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leases that are not given back yet. Somebody came for writing in the moment of an object, so its lease
 * is being broken; were it given back, he could get a writable descriptor of an inode that other guests
 * have names of. On file systems where he could write by it (XFS, btrfs) the lease is kept here instead,
 * on a descriptor of its own, until the object has been evicted (link/evict.h): whoever gets in then
 * finds an inode of his own. Owns the descriptors. All functions: any thread.
 */
#pragma once

#include <stdbool.h>

#include "link/object.h"

struct vu_parking;

/* Returns 0 or -ENOMEM. */
int vu_parking_new(struct vu_parking **ret);

/* Gives all leases back. Accepts NULL, returns NULL. */
struct vu_parking *vu_parking_free(struct vu_parking *p);

/*
 * Keeps the lease of an object, which may be closed then. False when there is no room (or p is NULL):
 * the lease cannot outlive the object.
 */
bool vu_parking_put(struct vu_parking *p, const struct vu_object *o);

/*
 * Takes out the descriptor with the lease on an inode of this pool. The caller owns it. Returns it or
 * -ENOENT.
 */
int vu_parking_take(struct vu_parking *p, const struct vu_pool *pool, uint64_t ino);

/*
 * The kernel takes a lease away that is being broken for too long (lease-break-time, 45 s). To be called
 * now and then: those that have been here for a third of that are given back and taken anew. Who was
 * on his way since the moment has found the flag by then.
 */
void vu_parking_refresh(struct vu_parking *p);
