/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker's journal: which temporary name in the stage is meant for which path, and which object is
 * involved. Written before the first step of a batch, emptied when nothing of the batch is left in
 * the stage. Only recovery reads it. One journal belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/pool.h"
#include "model/key.h"

enum vu_journal_kind {
	VU_JOURNAL_LINK, /* tmp: a name of the object, to change places with inode at path */
	VU_JOURNAL_COPY, /* tmp: inode, a private copy of the object, to change places with it at path */
	VU_JOURNAL_LEAD, /* as LINK, but inode is another object; those of an inode together */
};

/* One intent. All strings borrowed. */
struct vu_intent {
	enum vu_journal_kind kind;
	const char *tmp;     /* "N/NAME" below the stage */
	struct vu_key key;   /* of the object */
	uint64_t object_ino; /* its inode */
	uint64_t ino;	     /* the inode at path (LEAD: an object, too), or the copy */
	uint64_t root_ino;   /* inode of the guest's root, on the pool's file system */
	const char *root;    /* path of the guest's root, as last seen */
	const char *path;    /* relative to it */
	const char *domain;  /* for the key */
	bool with_mtime;     /* for the key */
};

struct vu_journal {
	int fd;	   /* owned */
	char *buf; /* owned; lines not yet written */
	size_t len, cap;
	bool written; /* something is in the file */
};

/* Opens (makes) the journal of worker n, which must be empty. 0, -EBUSY when it is not, or errno. */
int vu_journal_open(const struct vu_pool *p, unsigned n, struct vu_journal *ret);

/* Removes it if it is empty (but for worker 0's, which stays), and frees. Accepts a zeroed struct. */
void vu_journal_close(const struct vu_pool *p, unsigned n, struct vu_journal *j);

/* Adds a line to the buffer. Returns 0 or -ENOMEM. */
int vu_journal_add(struct vu_journal *j, const struct vu_intent *in);

/* Writes the buffer out; durable after vu_pool_sync only. Returns 0 or a negative errno. */
int vu_journal_flush(struct vu_journal *j);

/* Empties it. Returns 0 or a negative errno. */
int vu_journal_reset(struct vu_journal *j);

/* Is it the name of a journal? ret_slot: whose. */
bool vu_journal_is(const char *name, unsigned *ret_slot);

/*
 * Calls fn for each line of each journal of these slots, a later line of the same tmp after an earlier
 * one; the strings live for the call. Lines that were cut off are left out. Returns what fn returned
 * if not 0, 0, or a negative errno.
 */
int vu_journal_each(const struct vu_pool *p, const struct vu_slots *slots,
		    int (*fn)(void *arg, const struct vu_intent *in), void *arg);

/* Empties the journals of these slots, and removes all but worker 0's. 0 or a negative errno. */
int vu_journal_reset_all(const struct vu_pool *p, const struct vu_slots *slots);
