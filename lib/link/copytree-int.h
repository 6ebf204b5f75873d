/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files of link/copytree share: directories (copytree.c) and what is in them (copytree-entry.c). */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "link/copytree.h"
#include "link/naming.h"
#include "model/reset.h"
#include "model/tree.h"

/* A directory whose names are copied. Counted: names in it wait for their batch. */
struct vu_copydir {
	uint32_t dir; /* number in the tree */
	unsigned refs;
	int from, to;	   /* owned; to: -EBADF with dry_run */
	struct vu_stat st; /* of from, before it was listed */
};

/* A name that waits to be copied. */
struct vu_copy_job {
	struct vu_copydir *dir; /* a reference */
	char *name;		/* owned */
	enum vu_reset how;
	int r;
};

struct vu_copying {
	const struct vu_copytree_env *env;
	struct vu_copytree_stats *stats;
	struct vu_tree *tree;	  /* owned; directories, in the order in which they are copied */
	struct vu_naming *naming; /* owned */
	struct vu_copy_job
		*jobs; /* owned; names that are to be copied together, by several threads */
	unsigned n_jobs;
	atomic_uint next_job;
	pthread_mutex_t lock; /* for directories in the tree, and for what has several names */
	int from;	      /* borrowed; the root */
	int to;		      /* owned; its copy */
	int links;	      /* owned; inodes with several names, by copytree-entry.c */
	uint64_t dev, mount;  /* of the root */
	uint64_t n_names;
	unsigned n_open;	   /* struct vu_copydir */
	unsigned max_open;	   /* of these; two descriptors each */
	unsigned n_since;	   /* opened since names were given to threads the last time */
	struct vu_crew *sync;	   /* owned; writes what was copied to the disk; or NULL */
	atomic_bool synced;	   /* it has ended */
	_Atomic uint64_t unsynced; /* bytes that were written since it began */
	int error;		   /* of a name that waited: the first, or 0 */
	char *at;		   /* owned; where the run ended, or NULL */
};

/*
 * Copies what is at a name, a subdirectory as an empty one that stands in the tree then. Gone: 0. Returns 0,
 * an enum vu_copytree_e, or a negative errno that ends the run. Any thread.
 */
int vu_copy_entry(struct vu_copying *c, struct vu_copydir *d, const char *name, enum vu_reset how);

/* After the last entry. Returns 0 or a negative errno. */
int vu_copy_links_end(struct vu_copying *c);

/* Immutable and append-only as st says. Returns 0 or a negative errno. */
int vu_copy_locks(const struct vu_stat *st, int to);

/* Is it on the root's mount and file system? */
bool vu_copy_is_inside(const struct vu_copying *c, const struct vu_stat *st);

/* The path of a name in a directory; NULL without memory. */
char *vu_copy_path(const struct vu_copying *c, uint32_t dir, const char *name);

void vu_copy_tell(struct vu_copying *c, enum vu_event_kind kind, enum vu_skip skip, uint32_t dir,
		  const char *name, const char *text);
