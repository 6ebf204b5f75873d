/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a visit found out about names, on its way into the tree. Files are looked at without any lock
 * and gathered here; a batch is entered under the tree's lock. So the lock is taken once for some
 * hundred names, and whatever two threads might touch at once (the records of inodes with several
 * names) is only touched under it. A part of scan/walk; nobody else calls it. A batch belongs to one
 * thread.
 */
#pragma once

#include "scan/walk-visit.h"

#define VU_BATCH_ITEMS 512

enum vu_item_kind {
	VU_ITEM_DIR,
	VU_ITEM_PRIVATE, /* a private file */
	VU_ITEM_UNIFIED, /* a name of an object */
};

/* What was found out about a name, waiting to be entered. */
struct vu_item {
	const char *name; /* borrowed until the batch is flushed */
	uint64_t ino;
	uint64_t size;
	uint64_t mtime_ns;
	uint64_t ctime_ns;
	uint32_t attr;
	uint16_t n_links; /* as inodes hold it */
	uint32_t record;  /* of the name or the child directory, VU_NONE: not recorded */
	uint8_t kind;
	uint8_t skip;
};

/* A recorded name or child directory of the directory that is being listed. */
struct vu_known {
	const char *name;
	uint32_t record;
	bool is_dir;
	bool met;
};

struct vu_walk_batch {
	const struct vu_walk_env *env;
	struct vu_tree *t;
	struct vu_item *items; /* owned */
	size_t n_items;
	struct vu_known *known; /* owned; sorted */
	size_t n_known;
	size_t cap_known;
	uint32_t dir; /* the directory that is visited */
	struct vu_dir *d;
	struct vu_visit_root *root;
	const struct vu_walk_guest *guest;
};

/* Returns 0 or -ENOMEM. */
int vu_walk_batch_init(struct vu_walk_batch *b, const struct vu_walk_env *env, struct vu_tree *t);
void vu_walk_batch_done(struct vu_walk_batch *b);

/* Begins with a directory; nothing of it is recorded as far as is known. */
void vu_walk_batch_begin(struct vu_walk_batch *b, uint32_t dir, struct vu_visit_root *root);

/* Adds an item, flushing when full. Returns 0, -ENOMEM, -EOVERFLOW. */
int vu_walk_batch_add(struct vu_walk_batch *b, const struct vu_item *it);

/* Enters all into the tree. Takes the tree's lock. 0, -ENOMEM, -EOVERFLOW. */
int vu_walk_batch_flush(struct vu_walk_batch *b);

/* Counts n names as met, for the limit and the progress. */
void vu_walk_batch_count(struct vu_walk_batch *b, uint64_t n);

/* Loads what the tree holds of the directory's names and children. Returns 0 or -ENOMEM. */
int vu_walk_batch_known_load(struct vu_walk_batch *b);

/* The record of a name that was met, or VU_NONE. */
uint32_t vu_walk_batch_known_meet(struct vu_walk_batch *b, const char *name, bool is_dir);

/* What was loaded and not met is VU_GONE. */
void vu_walk_batch_known_drop(struct vu_walk_batch *b);
