/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cooling: what follows a moment into which somebody came. The flag is on again and the lease is being
 * broken; whoever waits for it is interrupted, meets the flag, and fails with EPERM, until nobody is on
 * his way any more; then the lease is given back and taken anew. Owns that, and what comes of it when
 * somebody cannot be interrupted (link/parking.h) or gets in (link/slip.h). Part of link/moment, which
 * alone calls it; all functions with o->lock held. What it relies on is written at the top of moment.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/moment.h"

/*
 * Cools until it is over. twin (or -EBADF): see vu_moment_end. Afterwards the lease is held anew, or
 * the object is lost.
 */
void vu_cooling_now(struct vu_moment_env *env, struct vu_object *o, int twin);

/*
 * The object is hot from now on: the same in steps, between which further moments may begin and end. Its
 * lease stays as it is, so nobody gets in meanwhile.
 */
void vu_cooling_begin(struct vu_moment_env *env, struct vu_object *o, int twin);

/*
 * One step: found is who was seen waiting by a look that began at at_ns, n how many, negative when that
 * could not be seen; late_ns how long this process waited for a processor lately. True: it is over;
 * then vu_cooling_end is to be called.
 */
bool vu_cooling_step(struct vu_moment_env *env, struct vu_object *o, uint64_t at_ns,
		     uint64_t late_ns, int n, const struct vu_waiters *found);

/* An open file with the xattrs of a hot object, or -EBADF; borrowed until vu_cooling_end. */
int vu_cooling_twin(const struct vu_object *o);

/* It is not hot any more. Does nothing when it was not. */
void vu_cooling_end(struct vu_object *o);

/* Has it been hot for so long that the next moment has to wait until it is not (lease-break-time)? */
bool vu_cooling_is_overdue(const struct vu_object *o);

/* Interrupts whoever waits until nobody comes any more. The lease stays as it is. */
void vu_cooling_calm(struct vu_object *o);

/* A writer got in, who is there still or has been there. */
void vu_cooling_slipped(struct vu_moment_env *env, struct vu_object *o, int twin);

/*
 * Since its lease was given up for an instant, might it have been written to? Who does that by a
 * descriptor changes the size or the mtime, before he can put the mtime back: the flag is on.
 */
bool vu_cooling_was_written(struct vu_moment_env *env, struct vu_object *o);
