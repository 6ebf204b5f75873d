/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds that follow, put together by what moves together: all names that a guest has of one inode lead to
 * one inode of the template, or none does. A part of ops/ops-propagate; nobody else calls it. No I/O.
 */
#pragma once

#include "ops/propagate-find.h"

/* An inode of a guest that follows. */
struct vu_follow_group {
	uint32_t first; /* of its finds, in vu_follow_groups.finds */
	uint32_t n;
	uint32_t inode; /* number in the tree: the guest's */
	uint32_t lead;	/* the template's */
	uint16_t guest;
	uint16_t template;
};

struct vu_follow_groups {
	uint32_t *finds;	   /* owned; numbers of finds, group after group */
	struct vu_follow_group *v; /* owned; those of one lead together, by guest */
	size_t n;
};

/*
 * Groups what has VU_FOLLOW_YES, and gives another reason to what cannot follow because of its hard links, or
 * the limit of links. Returns 0 or -ENOMEM; vu_follow_groups_done in any case.
 */
int vu_follow_groups_make(struct vu_finds *f, struct vu_follow_groups *ret);

/* Frees what g owns. Accepts a zeroed struct. */
void vu_follow_groups_done(struct vu_follow_groups *g);
