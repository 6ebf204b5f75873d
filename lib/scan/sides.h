/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two guests' trees side by side, or one alone: each regular file is told with what stands at the same
 * path on the other side. For questions that nobody's memory answers; the walk (scan/walk.h) keeps a farm
 * up to date. Never leaves a root, follows no link, enters no mount, opens nothing but directories, changes
 * nothing. What it holds is bounded: the names of the directories from the root to where it is, together at
 * most VU_SIDES_NAMES_MAX bytes a side, and few descriptors however deep a tree is. One thread.
 */
#pragma once

#include <stdint.h>

#include "fs/stat.h"

/* Bytes of names; a directory that has more is told, and not looked into. */
#define VU_SIDES_NAMES_MAX ((size_t)64 << 20)

enum vu_side_kind {
	VU_SIDE_NONE,  /* nothing has this path there */
	VU_SIDE_FILE,  /* a regular file of the root's own mount */
	VU_SIDE_OTHER, /* anything else: a directory, a link, a file that is mounted there */
};

/* A path at which at least one side has a regular file. All is borrowed, for the time of the call. */
struct vu_sides_file {
	const char *path; /* relative to the roots, without a leading '/' */
	const char *name; /* its last component */
	int dir[2]; /* descriptors (O_PATH is all they are good for) of the directories it is in, or -EBADF */
	enum vu_side_kind kind[2];
	struct vu_stat st[2]; /* of files */
};

struct vu_sides {
	int root[2];	    /* borrowed; root[1] may be -EBADF: one tree alone */
	uint32_t max_depth; /* levels below a root that are entered */
	/* Returns 0 to go on; anything else ends the walk and is returned. */
	int (*file)(void *arg, const struct vu_sides_file *f);
	/*
	 * What could not be looked at: path on that side, with a negative errno (-EXDEV: another mount or
	 * subvolume begins there) and a text, which may be NULL. What is gone meanwhile is no trouble.
	 */
	void (*trouble)(void *arg, unsigned side, const char *path, int err, const char *text);
	void *arg;
};

/*
 * Walks; in each directory the files in the order of their bytes, then the directories. Returns 0,
 * -ECANCELED, -ENOMEM, what file() returned, or what asking a root gave.
 */
int vu_sides_walk(const struct vu_sides *s);
