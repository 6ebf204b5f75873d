/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One private inode whose names are being moved to an object: opened, proven unchanged and idle,
 * exchanged name by name, and given back or freed. Part of the linker; nobody else calls it.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "link/dirs.h"
#include "link/journal.h"
#include "link/linker.h"
#include "link/moment.h"

/* What all workers of a run share. */
struct vu_linkrun {
	const struct vu_linker_env *env;
	const struct vu_plan *plan;
	struct vu_moment_env moment;
	struct vu_touched touched;
	struct vu_linker_stats *stats; /* advanced atomically */
	uint64_t prefix;	       /* random; of all temporary names of this run */
	_Atomic uint64_t next_tmp;
	_Atomic int error;	  /* the first that ends the run, or 0 */
	_Atomic bool unsettled;	  /* something could not be put back: the journals must stay */
	_Atomic bool told_frozen; /* that a guest could not be frozen */
	pthread_mutex_t told_lock;
	uint8_t *told_cross; /* owned; per guest: EXDEV was explained */
};

/* The names of one object that a batch works on. */
struct vu_linkslot {
	const struct vu_plan_object *plan;
	struct vu_object *object;  /* owned reference */
	uint32_t inode;		   /* the object's record in the tree */
	uint32_t next, end;	   /* targets still to be done, in plan->targets */
	uint64_t tmp;		   /* number of the first temporary name of target `next` */
	bool adopted;		   /* made in this batch: unmade if nobody joins it */
	_Atomic unsigned n_linked; /* targets that are (or may be) names of it now */
};

struct vu_target_name {
	uint32_t name;	     /* number in the tree */
	struct vu_dirh *dir; /* owned reference */
	bool moved;	     /* the private inode is at its temporary name */
};

struct vu_target {
	struct vu_target *next; /* in a queue */
	bool urgent;		/* in the reaper's: somebody waits for its lease */
	struct vu_linkrun *run;
	struct vu_linkslot *slot;
	struct vu_object *object; /* owned reference */
	int stage;		  /* borrowed */
	int fd;			  /* owned; the private inode, its lease held */
	uint32_t inode;
	uint32_t at; /* its place in plan->targets */
	uint64_t ino, blocks;
	uint64_t ctime_ns; /* after the last exchange */
	uint64_t due_ns;   /* CLOCK_MONOTONIC: from then on it may be freed */
	uint64_t tmp;	   /* number of its first temporary name */
	int err;	   /* the errno behind VU_SKIP_UNREADABLE */
	uint32_t n;	   /* names */
	struct vu_target_name names[];
};

#define VU_TMP_MAX 48
/* Writes the temporary name with this number; name has VU_TMP_MAX bytes. */
void vu_tmp_name(uint64_t prefix, uint64_t n, char *name);

/* The skip for an errno of one file; 0 for one that ends the run (-ENOSPC, -EDQUOT, -ENOMEM). */
enum vu_skip vu_target_skip_of(int err);

/* Is the open file what the tree says: a version, mode, owner, and number of links? */
bool vu_target_is_recorded(const struct vu_linkrun *run, const struct vu_inode *n,
			   const struct vu_stat *st);

/*
 * Opens an inode of the tree for its way to slot's object: lease held, version as recorded. Returns 0;
 * an enum vu_skip, with ret_err; or a negative errno that ends the run.
 */
int vu_target_open(struct vu_linkrun *run, struct vu_dirs *dirs, struct vu_linkslot *slot,
		   int stage, uint32_t inode, uint64_t tmp, struct vu_target **ret, int *ret_err);

/*
 * Inside a moment of its object: exchanges all its names. Returns 0; an enum vu_skip with all names as
 * they were (or as the guest made them meanwhile), err set; or a negative errno likewise.
 */
int vu_target_move(struct vu_target *t);

/* Inside a moment of its object: exchanges all moved names back. Returns 0 or a negative errno. */
int vu_target_back(struct vu_target *t);

/* Gives up what it holds; the lease goes with the descriptor. Returns NULL. */
struct vu_target *vu_target_free(struct vu_target *t);

/* Records that an inode stays private, and says so. */
void vu_target_skip(struct vu_linkrun *run, uint32_t inode, enum vu_skip why, int err);

/* Is the inode behind fd, complete with xattrs and flags, what its record says? 1, 0 or errno. */
int vu_target_attr_holds(const struct vu_linkrun *run, int fd, const struct vu_inode *n);
