/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls that can change a file's content, metadata or names, or ask whether they could, and where
 * each has its arguments: the one table from which notified calls are decoded (cow/call.h) and the rules of the
 * filter are made (cow/ruleset.h). Argument numbers are the same on all architectures, numbers of calls are
 * not: these are found by name.
 *
 * Not in it, because they need a descriptor that was opened for writing, which nobody has of a shared
 * inode: ftruncate, fallocate, copy_file_range, write and its kin. Not in it, because they only make new
 * names: mknod, mkdir, symlink. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cow/call.h"

/* Which calls of this name are of interest: what a filter can tell by the arguments alone. */
enum vu_shape_when {
	VU_SHAPE_ALWAYS,
	VU_SHAPE_OPENS_TO_WRITE, /* the open flags can write or truncate, and can meet a file */
	VU_SHAPE_PATH_OR_FD,	 /* with a NULL path the descriptor itself is meant */
	VU_SHAPE_FD,		 /* by descriptor alone */
	VU_SHAPE_ASKS_TO_WRITE,	 /* W_OK is in the mode */
};

enum vu_shape_trait {
	VU_SHAPE_FOLLOW =
		1 << 0, /* a symlink at the end is followed, where no flag says otherwise */
	VU_SHAPE_EMPTY_NULL = 1 << 1,	   /* with AT_EMPTY_PATH, NULL is as good as "" */
	VU_SHAPE_LENGTH_WIDE = 1 << 2,	   /* 'length' is two registers, of 32 bits each */
	VU_SHAPE_FLAGS_IN_MEMORY = 1 << 3, /* 'flags' is the address of a struct open_how */
};

/* An argument by its number from 0, kept as number + 1, so that what is not named is none. */
typedef uint8_t vu_shape_arg;
#define VU_SHAPE_ARG(n) ((n) + 1)

struct vu_shape_path {
	vu_shape_arg dirfd; /* none: AT_FDCWD */
	vu_shape_arg path;  /* none: dirfd is the file */
};

struct vu_shape {
	const char *name;
	uint16_t
		number; /* on every architecture, for libseccomp that does not know the name; or 0 */
	enum vu_call_op op;
	enum vu_shape_when when;
	unsigned traits; /* enum vu_shape_trait */
	struct vu_shape_path from, to;
	vu_shape_arg flags;  /* of open, AT_ or RENAME_ */
	uint32_t at_flags;   /* the AT_ flags that the call knows */
	vu_shape_arg mode;   /* of open, of access */
	vu_shape_arg length; /* of truncate */
	vu_shape_arg size;   /* of what is in memory */
};

/* The table. Returns it; ret_n is its length. */
const struct vu_shape *vu_shapes(size_t *ret_n);

/*
 * The number of the call on an architecture (AUDIT_ARCH_*), or -1 where it has none.
 */
int vu_shape_number(const struct vu_shape *s, uint32_t arch);
