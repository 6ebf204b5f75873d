/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups: which files can have equal content at all and would be worth unifying, so that the others
 * need not be read. Members of a group have the same file system, size, mode, owner (and mtime where
 * that belongs to the key). Reads nothing from disk. Called by ops between walk and content.
 */
#pragma once

#include "model/tree.h"
#include "scan/walk.h"

/* A group with more members is cut: equal content is found by its digest all the same. */
#define VU_GROUP_MAX 1024

struct vu_groups {
	uint32_t *member; /* owned; inode numbers, group after group */
	uint32_t *start;  /* owned; n + 1 indices into member */
	uint32_t n;
	uint64_t n_files; /* members whose content or attributes are not known: to be read */
	uint64_t bytes;	  /* of them */
};

/*
 * Groups the private inodes whose skip is VU_SKIP_NONE, and the objects. Whoever has no partner in
 * another guest, nor an object, gets VU_SKIP_UNIQUE. Groups of which everything is
 * known already are left out. with_mtime: mtime belongs to the key. Returns 0 or -ENOMEM. One thread.
 */
int vu_group_run(const struct vu_walk_env *env, struct vu_tree *t, bool with_mtime,
		 struct vu_groups *ret);

void vu_groups_done(struct vu_groups *g);

/* Must this inode be read: is its content not known, or are its attributes only bare? */
bool vu_group_must_read(const struct vu_tree *t, const struct vu_inode *n);
