/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a record of the farm to a descriptor: beneath the guest's root, through no link and no mount,
 * however long the path is. Called by the stages of a scan. Any thread.
 */
#pragma once

#include "model/tree.h"

/*
 * Opens a directory of the tree as flags say (O_DIRECTORY is added) and makes sure that it is the
 * recorded inode. Returns the fd or a negative errno; -ESTALE: it is another one.
 */
int vu_treeopen_dir(const struct vu_tree *t, int root, uint32_t dir, int flags);

/* Pins (O_PATH) what the name is now; the caller compares. Returns the fd or a negative errno. */
int vu_treeopen_name(const struct vu_tree *t, int root, uint32_t name);
