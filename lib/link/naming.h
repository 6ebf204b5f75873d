/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of objects, many at a time: given to a tree that is being made, or taken from one that goes away.
 * Neither tree is within a guest's reach, so nothing is exchanged and there is no journal: who is killed
 * leaves a tree in the pool (link/trees.h), which says as well as a line would that recovery is needed. Owns
 * the batches: objects opened together, and a moment for each, by several threads. The objects' other names
 * stay what they are, and are guarded as ever (link/moment.h). Called by the coordinating thread, with the
 * pool's lock held.
 *
 * Threads of its own work on a batch while the caller goes on and adds names to the next one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/moment.h"

struct vu_naming;

struct vu_naming_env {
	const struct vu_pool *pool;   /* borrowed */
	struct vu_moment_env *moment; /* borrowed */
	unsigned jobs;		      /* threads; 0 is as 1 */
	bool take;		      /* names are taken away; else they are given */
	/*
	 * Is told what became of each name, by the coordinating thread: 0; VU_NAMING_BUSY; -ESTALE when
	 * the object could not be used or is another one by now; -EMLINK and what else the call gave.
	 * Then dir is not needed any more. Must not add names.
	 */
	void (*done)(void *arg, void *cookie, const char *name, uint64_t ino, int r);
	void *arg;
};

enum vu_naming_e {
	VU_NAMING_BUSY = 1, /* somebody has the object open for writing, or works on it */
};

struct vu_naming_stats {
	uint64_t names;		  /* given or taken */
	uint64_t objects_removed; /* objects that nobody had any more behind that */
};

/* Returns 0 or -ENOMEM. env is borrowed. */
int vu_naming_new(const struct vu_naming_env *env, struct vu_naming **ret);

/*
 * Adds a name (copied) in the open directory dir, which stays open until done was called, for the object
 * with this key and inode. Has what is there worked on when that is enough for a batch, behind the one before,
 * for which it waits. Returns as _flush, of that one; done is called for the name whatever it returns.
 */
int vu_naming_add(struct vu_naming *n, const struct vu_key *key, uint64_t ino, int dir,
		  const char *name, void *cookie);

/* The same for what was added until now, however little that is. */
int vu_naming_push(struct vu_naming *n);

/*
 * Works on all that was added, and waits. Returns 0, or a negative errno that ends the run: done was called all the
 * same for each name, with what became of it.
 */
int vu_naming_flush(struct vu_naming *n);

struct vu_naming_stats vu_naming_stats(const struct vu_naming *n);

/* Nothing waits in it: the last call was _flush. Accepts NULL, returns NULL. */
struct vu_naming *vu_naming_free(struct vu_naming *n);
