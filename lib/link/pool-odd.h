/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies in a pool and has no business there: nothing that vunify made, or that it knows the use of. What a
 * run left that was cut short is not among it: see link/recover.h. Looks, changes nothing. Any thread.
 */
#pragma once

#include <stdint.h>

#include "link/pool.h"

/*
 * Calls fn for each such name with its path below the mount point, until it returns non-zero, which is
 * returned; or a negative errno. ret_rescued: how many files wait in .vunify/rescued for the admin.
 */
int vu_pool_odd_each(const struct vu_pool *p, int (*fn)(void *arg, const char *path), void *arg,
		     uint64_t *ret_rescued);
