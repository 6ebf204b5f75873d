/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker's batches: objects opened together, one sync, names moved, everything settled. Part of the
 * linker; nobody else calls it. One for each worker, used by its thread alone.
 */
#pragma once

#include "link/reaper.h"
#include "link/target.h"

struct vu_batch {
	struct vu_linkrun *run;
	unsigned worker;
	unsigned max_objects; /* in one batch */
	unsigned max_names;   /* replaced and not yet freed, at most */
	struct vu_dirs dirs;
	struct vu_reaper reaper;
	struct vu_linkslot *slots; /* owned; max_objects */
	uint32_t opened;	   /* of them, in this batch */
	uint64_t looked_ns;	   /* when its objects were last looked at */
	bool claims;		   /* others share the pool: objects of this batch are claimed */
	/* of the file system at work */
	uint16_t fs;
	bool open;
	int stage; /* owned */
	struct vu_journal journal;
};

/* quota: descriptors it may have open. Returns 0 or a negative errno; vu_batch_done in any case. */
int vu_batch_init(struct vu_batch *b, struct vu_linkrun *run, unsigned worker, unsigned quota);

/* How many objects of the plan the next batch is to have at most. */
unsigned vu_batch_size(const struct vu_batch *b);

/*
 * Works on n objects of the plan (their numbers; all of one file system, at most max_objects). last: nobody has taken
 * further ones. Returns 0, also after a stop, or a negative errno that ends the run. Nothing is left on its way, but
 * where run->unsettled says so.
 */
int vu_batch_run(struct vu_batch *b, const uint32_t *objects, uint32_t n, bool last);

/* Returns 0 or a negative errno. */
int vu_batch_done(struct vu_batch *b);
