/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest as the catalog holds it, in a few flat arrays: enough to see whether anything has changed in it, and
 * much less than a tree (model/tree.h), which is made to be changed. A plain value that owns its arrays. One
 * thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct vu_recorded_dir {
	uint64_t ino, mtime_ns, ctime_ns;
	uint32_t row;		       /* as struct vu_dir has it */
	uint32_t parent;	       /* VU_NONE: the root */
	uint32_t name;		       /* in text */
	uint32_t first_child, sibling; /* VU_NONE: none, or no other */
	uint32_t first_file, n_files;  /* private names: a range of files */
	uint32_t n_unified, n_other;   /* as in struct vu_dir */
	uint8_t flags;		       /* enum vu_dir_flag */
};

/* A private name. */
struct vu_recorded_file {
	uint32_t name; /* in text */
	uint32_t inode;
};

struct vu_recorded_inode {
	uint64_t ino, size, mtime_ns, ctime_ns;
	uint32_t mode, uid, gid;
	uint32_t n_names;
	uint16_t n_links; /* as vu_tree_links() says it */
	uint8_t skip;	  /* enum vu_skip */
};

struct vu_recorded {
	struct vu_recorded_dir *dirs;	  /* owned; parents stand before their children */
	struct vu_recorded_file *files;	  /* owned; by directory */
	struct vu_recorded_inode *inodes; /* owned; ascending as signed numbers */
	char *text;			  /* owned; names, each with a NUL behind it */
	size_t n_dirs, n_files, n_inodes, n_text;
	size_t max_dirs, max_files, max_inodes, max_text; /* room there is */
};

/* Room for n more elements of a given size behind the first n_used of *v. Returns 0, -ENOMEM or -EOVERFLOW. */
int vu_recorded_grow(void *v, size_t elem, size_t n_used, size_t n, size_t *max);

/* Forgets the guest, and keeps the room for another one. */
void vu_recorded_clear(struct vu_recorded *r);

/* Frees all. Accepts a zeroed struct. */
void vu_recorded_done(struct vu_recorded *r);
VU_DEFINE_CLEANUP_DONE(struct vu_recorded, vu_recorded_done)
