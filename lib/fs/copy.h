/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of single files: content by shared extents where the file system has them, else by the
 * kernel, with holes kept; and all of the metadata that a key holds. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/stat.h"

/*
 * Makes the empty file `to` (open for writing) hold the first size bytes of `from`. ret_shared (or NULL):
 * whether it shares all extents with it, so that no data have to be written. Returns 0; -ESTALE when `from`
 * is shorter; or a negative errno.
 */
int vu_copy_content(int from, int to, uint64_t size, bool *ret_shared);

/*
 * Gives `to` the owner, mode, xattrs, inode flags and times of `from`, which is st. Only inode flags
 * that belong to the key are set, the immutable flag not among them, nor append-only. Returns 0, VU_XATTR_TOO_LARGE,
 * or a negative errno.
 */
int vu_copy_metadata(int from, const struct vu_stat *st, int to, size_t max_xattr_bytes);

/*
 * Do the first size bytes of both files equal each other, and are both files of that size? Returns 1
 * or 0, or a negative errno.
 */
int vu_copy_equal(int a, int b, uint64_t size);
