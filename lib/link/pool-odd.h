/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies in a pool and has no business there: nothing that vunify made, or that it knows the use of. What a
 * run left that was cut short is not among it: see link/recover.h. Looks, changes nothing. Any thread.
 */
#pragma once

#include <stdint.h>

#include "link/pool.h"

/* Who is told what there is. Either ends it by what is not zero. */
struct vu_pool_look {
	int (*odd)(void *arg,
		   const char *path); /* such a name, with its path below the mount point */
	void *odd_arg;
	/* An object, as by vu_pool_list: its directories are read anyway. NULL: nobody. */
	int (*object)(void *arg, uint64_t ino, const struct vu_key *key);
	void *object_arg;
	uint64_t rescued; /* written: how many files wait in .vunify/rescued for the admin */
};

/* Looks at all of the pool. Returns 0, what a callback returned, or a negative errno. */
int vu_pool_odd_each(const struct vu_pool *p, struct vu_pool_look *look);
