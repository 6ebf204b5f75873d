/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Link breaking while a guest runs and waits: single names get private copies, by the same steps and
 * moments as in link/breaker, beside a linker and others that do the same (link/claim.h). Owns what they
 * need in the pool: the index of objects, those at work, and for each thread a stage and a journal. Knows
 * nothing of system calls; called by lib/cow.
 *
 * What was broken is durable when the kernel has written it: the copy's content is on disk before the
 * name points at it, and nothing is lost if it is not yet.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/stat.h"
#include "link/breaker.h"
#include "link/pool.h"

struct vu_live;

/* One thread's. */
struct vu_live_worker;

struct vu_live_env {
	struct vu_pool *pool; /* borrowed; opened with VU_POOL_SHARE */
	const struct vu_guests *guests;
	const int *root_fds; /* one for each guest: open directories (O_PATH is enough) */
	size_t max_xattr_bytes;
	const struct vu_sink *sink; /* BREAK, WARN, DAMAGE; never by two threads at once; or NULL */
	const struct vu_slip_watch *watch; /* or NULL: who slips in cannot be told */
};

/* All names that a guest has of an object. */
struct vu_live_name {
	uint32_t guest; /* index in guests */
	uint64_t ino;
	struct vu_key key;  /* of vu_live_find */
	const char **paths; /* relative to the guest's root */
	uint32_t n_paths;
	/*
	 * Its content is about to be cut off: where that saves a copy, and it has one name, it gets an empty file with
	 * its metadata, modified now.
	 */
	bool empty;
	/*
	 * Of changes of names alone, or NULL: it is about to be made; it has been made, and the moment is not over
	 * yet. Whoever may be killed notes it here: behind the moment it is too late.
	 */
	void (*changing)(void *arg, uint64_t ino);
	void (*changed)(void *arg);
	void *changed_arg;
};

enum vu_live_e {
	VU_LIVE_CHANGED = 1, /* the first name is none of the object (any more) */
	VU_LIVE_BUSY,	     /* another process works on the object, or it has a writer */
};

struct vu_live_stats {
	uint64_t names, inodes, copied_bytes, given; /* as of the breaker */
	uint64_t slips;
	uint64_t renamed; /* names that went away, were replaced or added without a copy */
};

/* env and what it names outlive it. Returns 0 or a negative errno. */
int vu_live_new(const struct vu_live_env *env, struct vu_live **ret);

/* All workers are freed before. Accepts NULL, returns NULL. */
struct vu_live *vu_live_free(struct vu_live *l);

/*
 * Is the file that st describes an object? Returns 1 (with its key), 0, or a negative errno. Any thread.
 */
int vu_live_find(struct vu_live *l, const struct vu_stat *st, struct vu_key *ret);

/*
 * A worker, for one thread at a time. Takes a slot of the pool (link/claim.h) with the first copy. Returns 0 or a
 * negative errno.
 */
int vu_live_worker_new(struct vu_live *l, struct vu_live_worker **ret);
struct vu_live_worker *vu_live_worker_free(struct vu_live_worker *w);

/*
 * Gives these names a private copy together. Returns 0 when the first is private now; an enum vu_live_e; or a
 * negative errno for who waits (-ENOSPC, -EDQUOT, -ENOMEM, -EIO ...; -EUSERS: there is no slot): then all is
 * as it was.
 */
int vu_live_break(struct vu_live_worker *w, const struct vu_live_name *name);

/* Where a name is, or is to be: an open directory (O_PATH is enough) by the pool's mount. */
struct vu_live_place {
	int dir; /* borrowed */
	const char *base;
};

/*
 * Changes of names alone, for which nothing is copied: the name of an object goes away; another file's name
 * takes its place; the object gets one more name. In one step, as the system call would do it; `is` is the
 * name that the object has. Return 0; VU_LIVE_CHANGED when the object is not there (any more), VU_LIVE_BUSY; or a
 * negative errno that the system call gave, or of getting there: then all is as it was.
 */
int vu_live_unlink(struct vu_live_worker *w, const struct vu_live_name *name,
		   const struct vu_live_place *is);
int vu_live_rename_over(struct vu_live_worker *w, const struct vu_live_name *name,
			const struct vu_live_place *from, const struct vu_live_place *is);
int vu_live_link(struct vu_live_worker *w, const struct vu_live_name *name,
		 const struct vu_live_place *is, const struct vu_live_place *to);

void vu_live_stats(const struct vu_live *l, struct vu_live_stats *ret);
