/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files of link/naming share: collecting names (naming.c) and a batch at work (naming-batch.c). */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/inomap.h"
#include "link/naming.h"

#define VU_NAMING_OBJECTS_MAX 2048 /* in a batch; fewer where descriptors are scarce */
#define VU_NAMING_OBJECTS_CLAIMED                                                                  \
	256 /* the same while others share the pool (link/claim.c says why) */
#define VU_NAMING_OBJECTS_FIRST 512 /* in one that finds the threads idle: they are to begin soon */
#define VU_NAMING_NAMES_MAX 8192    /* in a batch */

#define VU_NAMING_END UINT32_MAX

struct vu_naming_name {
	uint32_t next; /* of the same object; VU_NAMING_END */
	int dir;       /* borrowed */
	int r;
	void *cookie;
	char *name; /* owned */
};

struct vu_naming_slot {
	struct vu_key key;
	uint64_t ino;
	struct vu_object *object; /* owned reference; NULL: not open */
	uint32_t first;		  /* of its names */
	uint32_t n_links;	  /* when it was opened */
	uint32_t n_done;	  /* names that were given or taken */
};

struct vu_naming_batch {
	const struct vu_naming_env *env;
	struct vu_naming_slot *slots; /* owned */
	struct vu_naming_name *names; /* owned */
	uint32_t n_slots, n_names;
	struct vu_inomap by_ino;	  /* index in slots */
	bool claims;			  /* others share the pool */
	bool quarantine;		  /* there may be objects that get no further names */
	bool slips;			  /* there may be objects that are to be evicted */
	_Atomic uint32_t next;		  /* the first slot that no thread has taken */
	_Atomic int error;		  /* the first that ends the run, or 0 */
	_Atomic uint64_t objects_removed; /* objects that nobody had any more behind that */
};

/*
 * Works on all of the batch, by several threads; what became of each name is in it then. Any thread, one
 * batch at a time. Returns 0 or a negative errno that ends the run.
 */
int vu_naming_batch_run(struct vu_naming_batch *b);
