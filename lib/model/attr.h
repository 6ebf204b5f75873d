/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the key holds besides content, size and mtime: mode, owner, xattrs, inode flags. Few distinct
 * values occur in a farm, so they are interned: a file keeps a 32-bit number. A value is "bare" while
 * only statx() was asked, and "full" once xattrs and flags were read from the open file.
 * struct vu_attrs is thread-safe (a mutex of its own); numbers never change their meaning.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/digest.h"

struct vu_attr {
	uint32_t mode; /* type and permission bits */
	uint32_t uid;
	uint32_t gid;
	uint32_t
		flags; /* FS_IOC_GETFLAGS without FS_IMMUTABLE_FL and the fs's own bits; full only */
	bool full;     /* flags and xattrs are known */
	bool has_xattrs;	 /* full only */
	bool has_caps;		 /* security.capability is among them; full only */
	struct vu_digest xattrs; /* of the sorted (name, value) list, zero without any; full only */
};

struct vu_attrs;

struct vu_attrs *vu_attrs_new(void);
struct vu_attrs *vu_attrs_free(struct vu_attrs *a);

/* The number of a value, new or known. Returns 0 or -ENOMEM. */
int vu_attrs_intern(struct vu_attrs *a, const struct vu_attr *v, uint32_t *ret_n);

/* The value of a number that intern returned; lives as long as the table. */
const struct vu_attr *vu_attrs_at(const struct vu_attrs *a, uint32_t n);

/* How many there are: numbers are 0 .. n-1. */
uint32_t vu_attrs_count(const struct vu_attrs *a);
