/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other way to carry out a plan: inodes stay apart and share their extents (FIDEDUPERANGE; XFS and
 * btrfs). Saves disk, not page cache. Needs no pool, no flag and no lease: the kernel compares under
 * its own lock. Works between subvolumes of one btrfs.
 */
#pragma once

#include "link/linker.h"

/*
 * Shares the extents of each object's keeper with its targets. Objects of a pool are not needed: a plan
 * whose keepers are objects uses them as sources if env->pools has their pool. In ret, names and inodes
 * count what was shared, bytes the bytes that the kernel shared now. What shares its extents gets
 * VU_SKIP_REFLINKED in the tree, and what could not be shared the skip that says why. Returns as
 * vu_linker_run.
 */
int vu_reflink_run(const struct vu_linker_env *env, const struct vu_plan *plan,
		   struct vu_linker_stats *ret);
