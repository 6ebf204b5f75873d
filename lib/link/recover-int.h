/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What recovery's files share: objects (recover.c), the stage (recover-stage.c; what lies there: recover-leftover.h),
 * leads (recover-lead.c), trees (recover-trees.c).
 */
#pragma once

#include <stdbool.h>

#include "link/journal.h"
#include "link/moment.h"
#include "link/pool-listing.h"
#include "link/recover.h"

struct vu_recover {
	struct vu_pool *pool;
	const struct vu_recover_env *env;
	struct vu_recover_stats *stats;
	struct vu_moment_env moment;
	struct vu_pool_listing objects;
	struct vu_intent *intents; /* owned, with their strings; in the order of the journals */
	size_t n_intents, cap_intents;
	bool synced;	       /* what was read is on disk */
	struct vu_slots slots; /* that nobody works with */
};

void vu_recover_tell(struct vu_recover *c, enum vu_event_kind kind, const struct vu_key *key,
		     const char *path, int err, const char *text);

enum vu_recover_e {
	VU_RECOVER_BUSY = 1, /* somebody has it open for writing */
	VU_RECOVER_UNSOUND,  /* it is not there, or not what it should be */
};

/*
 * Opens an object that holds its promise: flagged, leased. Returns 0, an enum vu_recover_e, or a
 * negative errno.
 */
int vu_recover_object_open(struct vu_recover *c, const struct vu_key *key, struct vu_object **ret);

/*
 * The open root of the guest that an intent names; borrowed until the next call. Or -ESTALE when it is not known, or
 * another negative errno.
 */
int vu_recover_root(const struct vu_recover *c, const struct vu_intent *in);

/* The whole stage. Returns 0 or a negative errno. */
int vu_recover_stage(struct vu_recover *c);

/* Names of one inode that were being led over (link/lead.h). Behind the stage. Returns 0 or a negative errno. */
int vu_recover_leads(struct vu_recover *c);

/* The trees that a run was making or removing (link/trees.h). Returns 0 or a negative errno. */
int vu_recover_trees(struct vu_recover *c);
