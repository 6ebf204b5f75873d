/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May a guest be removed? Looks at the whole of it, changes nothing. Part of ops-remove.
 */
#pragma once

#include "link/pool-listing.h"
#include "ops/ops-remove.h"
#include "ops/session.h"

/* Refuses when a process has it as its root. Returns 0 or a code with the problem filled. */
int vu_leaving_check_idle(struct vu_session *s, size_t guest);

/*
 * Refuses when something is mounted below the guest's root, another subvolume lies there, or somebody made
 * something immutable or append-only that is none of the objects. Fills what is counted in ret. Returns as before.
 */
int vu_leaving_check_tree(struct vu_session *s, size_t guest, const struct vu_pool_listing *objects,
			  struct vu_remove_report *ret);
