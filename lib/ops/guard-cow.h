/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copy-on-write under the guard: hears of threads that wait to write to an object (lsm/asks.h), finds the guest whose
 * file it is, and has that guest's own process (ops/ops-answer.h) make the copy, so that no guest waits for another.
 * Such a process is started with the guest's first, and ended when there was none for some minutes. Belongs to the
 * keeper's thread.
 */
#pragma once

#include "lsm/held.h"
#include "lsm/lsm.h"
#include "ops/context.h"

struct vu_guard_cow;

/*
 * command: borrowed, what is executed for a guest, with room for its root and a NULL behind the first n arguments.
 * Returns 0 or a negative errno.
 */
int vu_guard_cow_new(struct vu_ops *ops, const struct vu_lsm_asking *asking, char **command,
		     size_t n, struct vu_guard_cow **ret);

/* Ends all of it: who waits is refused. Accepts NULL, returns NULL. */
struct vu_guard_cow *vu_guard_cow_free(struct vu_guard_cow *c);

/* A pool's leases, freed with c. point: its mount point; marks: the map. Returns NULL without memory. */
struct vu_held *vu_guard_cow_add_pool(struct vu_guard_cow *c, const char *point, int marks);

/* Answers for so long, or until a signal comes. Returns 0 or a negative errno. */
int vu_guard_cow_serve(struct vu_guard_cow *c, int64_t ms);
