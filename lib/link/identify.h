/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is an open file what an object's name says? Part of recovery; also for checking pools. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"
#include "fs/stat.h"
#include "model/key.h"

/*
 * Reads and hashes the file, and compares with key for every domain given (NULL-terminated; "" is
 * implied; extra may be NULL) and with and without mtime. ret_st and ret_attr (full) are what it was.
 * Returns 1 or 0, or a negative errno.
 */
int vu_identify(int fd, const struct vu_key *key, const char *const *domains, const char *extra,
		size_t max_xattr_bytes, struct vu_stat *ret_st, struct vu_attr *ret_attr);
