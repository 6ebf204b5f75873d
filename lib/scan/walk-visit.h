/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One directory of the walk: clean or to be listed, its names matched with what the catalog
 * remembered, its files looked at. A part of scan/walk, which decides what is visited when, and holds
 * the descriptors; nobody else calls it. A visitor belongs to one thread; what is shared between
 * visitors is guarded by the tree's lock or atomic.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "fs/stat.h"
#include "scan/walk.h"

/* What all threads know of a guest. */
struct vu_visit_root {
	uint64_t dev;
	uint64_t mount;		  /* id */
	struct vu_inomap links;	  /* inodes with several links -> record; under the tree's lock */
	_Atomic uint64_t n_names; /* met so far */
	_Atomic bool told_depth;  /* the limit was told */
	_Atomic bool told_path;
	_Atomic bool told_names;
	bool trust_ino;
	uint32_t dir; /* number of its root directory */
};

struct vu_visit_shared {
	const struct vu_walk_env *env;
	struct vu_tree *t;
	struct vu_visit_root *roots; /* owned; by guest */
	pthread_mutex_t sink_lock;
};

/* Asks the roots. Returns 0 or a negative errno; _done accepts a half-built one. */
int vu_visit_shared_init(struct vu_visit_shared *s, const struct vu_walk_env *env,
			 struct vu_tree *t);
void vu_visit_shared_done(struct vu_visit_shared *s);

struct vu_visitor;
struct vu_visitor *vu_visitor_new(struct vu_visit_shared *s);
struct vu_visitor *vu_visitor_free(struct vu_visitor *v);

/* One visit: in and out. */
struct vu_visit {
	uint32_t dir;
	uint32_t depth;	     /* 0: a root */
	uint32_t path_bytes; /* in: from the root to its parent, out: to it */
	int parent;	     /* fd of the parent (a root's: itself), or a negative errno */
	const struct vu_exclude_dir *outer; /* of the parent, NULL for a root */
	struct vu_exclude_dir rules;	    /* out: of this one */
	int fd;	    /* out: of this one where enter, O_PATH or not; else -EBADF */
	bool enter; /* out: has children to be visited */
};

/*
 * Visits a directory. One that cannot be read is marked and told, not an error. Returns 0, -ENOMEM or
 * -EOVERFLOW.
 */
int vu_visit(struct vu_visitor *v, struct vu_visit *p);
