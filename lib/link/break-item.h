/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One item of the breaker, step by step: the names that a guest has of an object move to a copy of its
 * own, or to another object. Part of link/breaker and link/evict; nobody else calls it.
 */
#pragma once

#include "link/breaker.h"
#include "link/journal.h"
#include "link/moment.h"

/* The run. */
struct vu_breaking {
	const struct vu_breaker_env *env;
	struct vu_breaker_stats *stats;
	struct vu_moment_env moment;
	unsigned slot; /* of its stage and journal (link/claim.h); 0: the linker's first */
	/*
	 * One item at a time, for somebody who waits (link/live.h): there is no sync of the file system, so
	 * the copy is written by itself, and its temporary names tell which inode it is.
	 */
	bool live;
	uint64_t live_ino;
	uint64_t prefix; /* random; of all temporary names */
	uint64_t next_tmp;
	uint32_t fs;
	bool open;
	int stage; /* owned */
	struct vu_journal journal;
	int unsettled; /* why something waits for recovery: a negative errno, or 0 */
};

struct vu_breaking_item {
	struct vu_break_item *it;
	struct vu_object *object; /* owned; NULL: failed, and told */
	struct vu_object *into;	  /* borrowed; the names move to it; NULL: to a copy */
	bool evicts; /* object is to lose all names that it has in guests (link/evict.h): none goes back to it */
	uint32_t n_links;
	uint64_t size;
	bool empty;	   /* a copy has no content, and is modified now */
	uint64_t copy_ino; /* of what the names move to; 0: no copy */
	int copy_fd;	   /* borrowed, during its moment: the copy with a lease, or -EBADF */
	uint64_t tmp;	   /* number of the first temporary name */
	uint32_t n_tmp;	   /* temporary names that exist */
};

/* Does this errno end the run, and not concern the one item only? */
bool vu_breaking_is_fatal(int err);

int vu_breaking_enter(struct vu_breaking *b, uint32_t fs);
void vu_breaking_leave(struct vu_breaking *b);

/*
 * All return 0, or a negative errno that ends the run; what concerns one item is told as its event.
 * others: the n items of the batch that were opened before.
 */
int vu_breaking_open(struct vu_breaking *b, struct vu_breaking_item *w, struct vu_break_item *it,
		     const struct vu_breaking_item *others, size_t n);
int vu_breaking_copy(struct vu_breaking *b, struct vu_breaking_item *w);
int vu_breaking_sync(struct vu_breaking *b);
int vu_breaking_move(struct vu_breaking *b, struct vu_breaking_item *w);

/*
 * The inode becomes this guest's own file, if nobody else has it. Returns 0, 1 when somebody has, or a
 * negative errno.
 */
int vu_breaking_give(struct vu_breaking *b, struct vu_breaking_item *w);

/* Removes what is left of its copy in the stage. */
void vu_breaking_drop(struct vu_breaking *b, struct vu_breaking_item *w);

int vu_breaking_close(struct vu_breaking *b, struct vu_breaking_item *w);
int vu_breaking_settled(struct vu_breaking *b);
