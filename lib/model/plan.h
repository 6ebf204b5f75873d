/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plan: which inodes become names of which object. Plain data, made by match/choose, carried out
 * by link/linker, printed by `scan -n`, which stops here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/key.h"

/* One object and the private inodes whose names will be its names. */
struct vu_plan_object {
	struct vu_key key;
	uint32_t
		keeper; /* inode number: an object of the pool, or the private inode to be taken over */
	uint32_t first; /* first of its targets in vu_plan.targets */
	uint32_t n;	/* how many; may be 0 only for one that is alone */
	uint16_t fs;	/* index of the file system */
	bool keeper_is_object;
	bool alone; /* the keeper becomes an object also without a target: n is 0 */
};

struct vu_plan {
	struct vu_plan_object
		*objects; /* owned; in the order in which they are to be carried out */
	uint32_t n_objects;
	uint32_t *targets; /* owned; inode numbers */
	uint32_t n_targets;
	uint64_t n_names; /* names that will be replaced */
};

void vu_plan_done(struct vu_plan *p);
