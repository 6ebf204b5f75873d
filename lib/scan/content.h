/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Content: gives every member of every group a content number, such that two files have the same one
 * exactly if their bytes are equal. SHA-256 is computed once for each distinct content of a group; the
 * others are compared with it byte by byte. Attributes are completed on the way (flags and xattrs).
 * Reads files, through no link and no mount, and leaves the page cache as it was; changes nothing.
 * Called by ops after group. The process must ignore SIGIO (see fs/lease.h).
 */
#pragma once

#include "scan/group.h"
#include "scan/walk.h"

/* Files with more bytes than this in holes are not read: VU_SKIP_LIMIT. */
#define VU_CONTENT_MAX_HOLES (UINT64_C(1) << 30)

struct vu_content_env {
	const struct vu_walk_env
		*walk;		/* guests, jobs, unify_setid, granularity_ns, sink, progress */
	size_t max_xattr_bytes; /* of one file; more: VU_SKIP_LIMIT */
	/* Opens an object for reading: the fd, now the caller's, or a negative errno. Any thread. NULL:
	 * objects are not read. */
	int (*open_object)(void *arg, uint32_t inode);
	void *open_object_arg;
	/* Is told of each file that is about to be read; fd: borrowed. Any thread. NULL: nobody asks. */
	void (*on_open)(void *arg, uint32_t inode, int fd);
	void *on_open_arg;
};

struct vu_content_stats {
	uint64_t n_read;   /* files whose content became known */
	uint64_t n_failed; /* files that got a skip instead */
	uint64_t bytes;	   /* read */
	uint64_t n_hashed; /* files */
	uint64_t bytes_hashed;
};

/*
 * Reads what has to be read in groups. A file that cannot be used gets a skip (open-for-write,
 * changed, unreadable, capability, limit) and no content. With jobs above 1, eight times as many
 * threads read. Returns 0, -ECANCELED (what was read until then is in t), -ENOMEM, -EIO when
 * libcrypto failed, or what asking a root gave.
 */
int vu_content_run(const struct vu_content_env *env, struct vu_tree *t,
		   const struct vu_groups *groups, struct vu_content_stats *ret);
