/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes (ACLs, file capabilities and labels among them) of an open file: as one digest
 * for the key, one by one for copies. Bounded in memory by the caller's limit. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "model/attr.h"

/*
 * More bytes than a list of names or a value has on Linux: the limit for who has to handle a file
 * whatever it holds, because it is unified already.
 */
#define VU_XATTR_ANY ((size_t)1 << 17)

enum vu_xattr_e {
	VU_XATTR_TOO_LARGE = 1, /* names and values together are larger than the limit */
	VU_XATTR_NO_HASH,	/* there are attributes, and no hash was given for them */
};

/*
 * Calls fn for each attribute in the order of strcmp on the names, until it returns non-zero, which is
 * returned. fd may be of O_PATH. max_bytes bounds the list of names and each value. Returns 0,
 * VU_XATTR_TOO_LARGE (also for the E2BIG that XFS gives above 64 KiB), or a negative errno; a file system
 * without xattrs has none.
 */
int vu_xattr_each(int fd, size_t max_bytes,
		  int (*fn)(void *arg, const char *name, const void *value, size_t len), void *arg);

/*
 * Completes a bare attribute value by flags and xattrs of the open file. hash may be NULL, for a file
 * that is likely to have none. Returns 0, VU_XATTR_TOO_LARGE, VU_XATTR_NO_HASH, or a negative errno.
 */
int vu_xattr_complete(int fd, struct vu_hash *hash, size_t max_bytes, struct vu_attr *attr);

/* Copies all attributes of from to to. Returns as vu_xattr_each. */
int vu_xattr_copy(int from, int to, size_t max_bytes);
