/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only way across a guest's root: openat2(2) (Linux 5.6) with RESOLVE_BENEATH, NO_SYMLINKS,
 * NO_MAGICLINKS and NO_XDEV, so that nothing a guest plants leads outside. Any thread.
 */
#pragma once

#include <stdint.h>

#include "fs/stat.h"

/* Opens rel ("" or "." is the root itself) beneath rootfd. Adds O_CLOEXEC. Returns the fd or a
 * negative errno: -ELOOP for a symlink, -EXDEV for a mount point or a way out. */
int vu_beneath_open(int rootfd, const char *rel, int flags);

/*
 * Opens the regular file name in dirfd for reading, without following a link and without ever
 * opening anything but a regular file: pins it by O_PATH, looks, and only then reopens it. Sets
 * O_NOATIME. ret_stat (may be NULL) is of the pinned inode. Returns the fd; -ESTALE when it is not a
 * regular file; or a negative errno.
 */
int vu_regular_open(int dirfd, const char *name, struct vu_stat *ret_stat);
