/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directories of a root tree one by one, in an order in which a directory comes before those in it,
 * while whoever owns the tree may do with it what he likes. Each is opened anew from the root, beneath it,
 * through no link and no mount, so that one descriptor is enough however deep the tree is. Owns the
 * records of the directories met, 8 bytes each, and their names. One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/chunks.h"
#include "scan/listing.h"

struct vu_dirwalk {
	int root;	       /* borrowed */
	uint32_t max_depth;    /* levels below the root that are entered */
	struct vu_chunks dirs; /* of struct vu_dirwalk_dir */
	struct vu_chunks todo; /* of uint32_t; used as a stack, n_todo of them */
	uint32_t n_todo;
	struct vu_arena text;
	uint32_t dir; /* number of the current one */
	char *path;   /* owned; of the current one, "" for the root */
	void *buf;    /* owned; VU_LISTING_BYTES */
};

struct vu_dirwalk_dir {
	uint32_t parent;
	uint32_t name;
	uint32_t depth;
};

enum vu_dirwalk_e {
	VU_DIRWALK_END = 1,
	VU_DIRWALK_DEEP, /* below max_depth: not entered */
};

/* Begins with the root (O_PATH is enough). Returns 0 or -ENOMEM; vu_dirwalk_done in any case. */
int vu_dirwalk_init(struct vu_dirwalk *w, int root, uint32_t max_depth);
void vu_dirwalk_done(struct vu_dirwalk *w);

/*
 * Goes on to the next directory: w->dir and w->path say which. Returns 0, VU_DIRWALK_END, or -ENOMEM.
 */
int vu_dirwalk_next(struct vu_dirwalk *w);

/* Opens the current one for reading. Returns the fd, or a negative errno: it is not there any more. */
int vu_dirwalk_open(const struct vu_dirwalk *w);

/* Notes a directory in the current one. Returns 0, VU_DIRWALK_DEEP, -ENOMEM or -EOVERFLOW. */
int vu_dirwalk_add(struct vu_dirwalk *w, const char *name);

/* The path of a directory that was met, or of a name in it (NULL: of itself). malloc'ed; or NULL. */
char *vu_dirwalk_path(const struct vu_dirwalk *w, uint32_t dir, const char *name);

/* Keeps a copy of a name. Returns 0 and its handle in w->text, -ENOMEM or -EOVERFLOW. */
int vu_dirwalk_keep(struct vu_dirwalk *w, const char *name, uint32_t *ret_name);
