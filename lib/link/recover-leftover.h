/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A name that is left in the stage, and what recovery can do with it (which of that: recover-stage.c and
 * recover-copy.c). Everything returns 0 or a negative errno, unless it says more, and tells what it does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/stat.h"
#include "link/journal.h"
#include "link/recover-int.h"

struct vu_leftover {
	struct vu_recover *c;
	int dir;	 /* borrowed: its stage directory */
	unsigned worker; /* whose it is */
	const char *name;
	struct vu_stat st;
	const struct vu_intent *in; /* or NULL */
	int parent;		    /* owned: the directory of the path, -EBADF */
	const char *base;	    /* last part of in->path */
	uint64_t at_path;	    /* inode at the path, 0: none */
	uint64_t changed_ns;	    /* when a name came to its stage directory, or went, last */
};

/* It is superfluous, and nobody's but the stage's. text: what is told. */
int vu_leftover_remove(struct vu_leftover *l, const char *text);

/* It is nowhere else, and there is no place for it: to .vunify/rescued. */
int vu_leftover_rescue(struct vu_leftover *l);

/* Its object has a writer, or is damaged: that was told. */
int vu_leftover_leave(struct vu_leftover *l);

/* Until the object can be worked with: then this goes on. */
int vu_leftover_leave_for(struct vu_leftover *l, const char *text);

/* That it is gone: counted and told. */
int vu_leftover_removed(struct vu_leftover *l, const char *text);

/* It is at its path again: counted and told. */
int vu_leftover_restored(struct vu_leftover *l);

/* Equal to the object in all that the key holds, and nobody writes to it? 1, 0 or errno. */
int vu_leftover_equals(struct vu_leftover *l, const struct vu_object *o);

/*
 * Do all names of the inode lie in this stage directory? Returns 1, 0 or a negative errno: to guess
 * would be to tear names of one file apart.
 */
int vu_leftover_is_all(const struct vu_leftover *l);

/* Settles a c-*, the copy of an object or what came out of its exchange, whose guest is known. */
int vu_leftover_settle_copy(struct vu_leftover *l);

/*
 * A copy that was made for a guest that waited (link/break-item.c): its name tells which inode that was,
 * for the journal of those is not synced. All of its names are here, so no guest has it.
 */
bool vu_leftover_is_live_copy(const struct vu_leftover *l);
