/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a session's files is in the page cache, in pages. Each is asked once, as early as it is open for something
 * else: by the walk, before its content is read, or in the end. Brings nothing there, and changes nothing. A file is
 * pinned (O_PATH) and opened for reading only if it is a regular file with the inode number and the size that are
 * recorded, on its guest's mount. A part of ops/estimate; any thread asks, the rest is for the coordinating one.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/tree.h"
#include "ops/farm.h"
#include "ops/session.h"
#include "scan/content.h"

struct vu_resident {
	struct vu_session *session; /* borrowed */
	struct vu_tree *tree;	    /* borrowed */
	_Atomic uint32_t *pages;    /* owned; by inode: resident + 1, or what resident.c says */
	uint32_t n;		    /* of them */
	struct vu_resident_root {
		uint64_t dev;
		uint64_t mount;
	} * root;    /* owned; by guest */
	int self_fd; /* owned; of /proc/self/fd: saves looking that up for each file */
	unsigned jobs;
};

/*
 * For a farm that was loaded and will be walked: the walk, which looks at the recorded files of clean directories, asks
 * about those whose content the catalog knows while it does, which saves finding them again. Returns 0 or a negative
 * errno; _done in any case, also of a zeroed one.
 */
int vu_resident_ahead(struct vu_resident *r, struct vu_session *s, struct vu_farm *f);

/*
 * For the inodes that the farm's tree has now; what was asked of it before holds. env is told to ask about each file
 * before it is read, with r, which is borrowed by it. Returns 0 or a negative errno; _done as above.
 */
int vu_resident_begin(struct vu_resident *r, struct vu_session *s, struct vu_farm *f,
		      struct vu_content_env *env);

/* Asks what was not asked yet of these n inodes, which are put in another order. Returns 0, -ECANCELED or -errno. */
int vu_resident_ask(struct vu_resident *r, uint32_t *inodes, uint32_t n);

/* False: it could not be told. */
bool vu_resident_pages(const struct vu_resident *r, uint32_t inode, uint64_t *ret_pages);

void vu_resident_done(struct vu_resident *r);
