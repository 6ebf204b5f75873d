/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From contents to the plan: which inodes become names of which object. Decisions, no I/O; the same
 * for `scan -n` and for the real run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/inomap.h"
#include "model/guest.h"
#include "model/plan.h"
#include "model/tree.h"

struct vu_choose_env {
	struct vu_tree *tree; /* skips and objects' keys are written */
	const struct vu_guests *guests;
	const uint8_t *guest_fs; /* per guest: index of the file system in which it shares */
	bool mtime_exact;
	uint32_t max_links; /* names an object may have, its name in the pool among them */
	/*
	 * Does guest have a name of the object with this inode number? One object holds the names of one
	 * inode of a guest at most. May be NULL: then nobody has.
	 */
	bool (*guest_has)(void *arg, uint32_t guest, uint64_t object_ino);
	/* How many processes map this private inode: but for templates the most used one is kept. May be NULL. */
	uint32_t (*in_use)(void *arg, const struct vu_inode *inode);
	/*
	 * Is this object what its key says, which is that of the private inode `like`? Asked before anything is
	 * linked to it. 1 yes, 0 no: then it gets no further names; or a negative errno. May be NULL: then all are.
	 */
	int (*is_sound)(void *arg, const struct vu_inode *object, const struct vu_inode *like);
	void *arg;
};

/*
 * Makes the plan for all private inodes that have a content and no skip. Those that stay private get
 * their skip. Objects of the plan stand in the order in which their keepers were met by the walk, so
 * that directories are worked on one after the other. Returns 0, -ENOMEM or -EIO (libcrypto).
 */
int vu_choose_plan(const struct vu_choose_env *env, struct vu_plan *ret);
