/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session's guests as one tree: what the catalog remembers and the pools hold, brought up to date by
 * the walk. Shared by all use-cases that look at whole guests. Belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/inomap.h"
#include "guest/package.h"
#include "model/tree.h"
#include "ops/session.h"
#include "scan/exclude.h"
#include "scan/walk.h"

struct vu_farm {
	struct vu_session *session;	/* borrowed */
	struct vu_tree *tree;		/* owned */
	struct vu_exclude **exclude;	/* owned; one for each guest */
	struct vu_package_db **package; /* owned; one for each guest, NULL without one */
	struct vu_inomap
		*objects; /* owned; one for each file system: inode -> number in the tree */
	uint8_t *shares;  /* owned; for the walk's env */
	struct vu_walk_guest *walk_guests; /* owned; one for each guest */
	struct vu_walk_env walk;	   /* for vu_walk_run and vu_walk_verify */
	struct vu_sink unreadable;	   /* see vu_farm_tell_unreadable */
};

enum vu_farm_flag {
	VU_FARM_RULES =
		1 << 0, /* rules, lock files and conffiles hold; else everything is looked at */
	VU_FARM_CATALOG = 1 << 1, /* start from what the catalog remembers */
	VU_FARM_FULL = 1 << 2,	  /* trust no clean directory */
	VU_FARM_LATER = 1 << 3,	  /* vu_farm_load is called when it is needed */
};

/*
 * Prepares rules, loads the catalog's part, and lists the pools. Returns 0, an enum vu_ops_e with the
 * problem filled, or a negative errno. vu_farm_close in any case.
 */
int vu_farm_open(struct vu_farm *f, struct vu_session *s, unsigned flags);

/* What vu_farm_open does besides the rules, with the same flags. Returns like that. */
int vu_farm_load(struct vu_farm *f, unsigned flags);

/*
 * For who looks for names of objects only: of all that the walk would tell, directories and files that cannot be
 * looked at are told, as warnings. f stays where it is.
 */
void vu_farm_tell_unreadable(struct vu_farm *f);

/* Walks. Returns 0, VU_OPS_CANCELLED, or a negative errno. */
int vu_farm_walk(struct vu_farm *f);

/*
 * Looks at those objects of which only the name in the pool is known (there was no catalog, or another
 * one made them): size, owner, attributes. Returns 0 or a negative errno.
 */
int vu_farm_know_objects(struct vu_farm *f);

/* Threads to be used: as configured, else as many as this process may run on. */
unsigned vu_farm_jobs(const struct vu_config *c);

/* Frees everything. Accepts a zeroed struct. */
void vu_farm_close(struct vu_farm *f);
