/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has an object come or gone since? Told by the times of the pool's directories, as the walk tells it of a
 * guest's: a few hundred of them stand for all the objects in them. Knows nothing of what is in an object.
 */
#pragma once

#include <stdint.h>

#include "link/pool.h"

/*
 * A number that is another one when the set of objects is (but by chance, at 2^-64); 0 while a directory is younger
 * than granularity_ns, and so proves nothing. Returns 0 or a negative errno.
 */
int vu_pool_stamp(const struct vu_pool *p, uint64_t granularity_ns, uint64_t *ret_stamp);
