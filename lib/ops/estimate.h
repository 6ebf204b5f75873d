/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much memory a plan would free: the page cache of the copies that would go. A part of a dry run; what is resident
 * is asked of each file before it is read, and brings nothing there. Changes nothing. Notes come from any thread,
 * the rest is for the coordinating one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem/inuse.h"
#include "model/plan.h"
#include "model/tree.h"
#include "ops/farm.h"
#include "ops/guest-roots.h"
#include "ops/resident.h"
#include "ops/session.h"
#include "scan/content.h"

#define VU_ESTIMATE_GROUPS 10 /* the largest, that are told one by one */

/* In bytes of the page cache. */
struct vu_estimate_sum {
	uint64_t resident; /* of files that would be unified */
	uint64_t now;	   /* freed at once: of copies that nobody has mapped or open */
	uint64_t all;	   /* freed once all who use one of the copies have started anew */
};

struct vu_estimate_group {
	char *guest; /* owned; that has one of the copies */
	char *path;  /* owned; there */
	uint32_t copies;
	struct vu_estimate_sum sum;
};

struct vu_estimate_report {
	struct vu_estimate_sum total;
	struct vu_estimate_sum *guests; /* owned; one for each of the session: its copies */
	struct vu_estimate_group group[VU_ESTIMATE_GROUPS]; /* those that free most first */
	size_t n_groups;
	uint64_t unknown; /* files of which it could not be told what is resident */
};

struct vu_estimate {
	struct vu_session *session;	  /* borrowed */
	struct vu_tree *tree;		  /* borrowed */
	struct vu_resident resident;	  /* owned */
	struct vu_replaced_fs *fs;	  /* owned; of the session, for users */
	struct vu_inuse *users;		  /* owned; who uses what; NULL: not asked yet */
	struct vu_guest_roots roots;	  /* owned; of the users */
	struct vu_estimate_report report; /* owned */
};

/*
 * For a farm that was loaded and will be walked, where _believe will be called: see vu_resident_ahead. Returns 0 or
 * a negative errno; _done in any case, also of a zeroed one.
 */
int vu_estimate_ahead(struct vu_estimate *e, struct vu_session *s, struct vu_farm *f);

/*
 * For the inodes that the farm's tree has now; env is told to ask about each file before it is read, with e, which
 * is borrowed by it. Returns 0 or a negative errno; _done in any case, also of a zeroed one.
 */
int vu_estimate_begin(struct vu_estimate *e, struct vu_session *s, struct vu_farm *f,
		      struct vu_content_env *env);
void vu_estimate_done(struct vu_estimate *e);

/*
 * Marks private inodes VU_INODE_BELIEVED: those whose content the catalog knows, that are as they were, and that nobody has
 * in use. (Whoever has one open may have it open for writing; then it would not be unified, and only its descriptor tells.)
 * Who uses what is asked where there are any, which makes a child. To be called after _begin. Returns as _sum.
 */
int vu_estimate_believe(struct vu_estimate *e);

/*
 * Reports what the plan frees; asks besides what was not noted, and who uses what (which makes a child).
 * Returns 0 or as vu_ops functions.
 */
int vu_estimate_sum(struct vu_estimate *e, const struct vu_plan *plan);

/* Hands the report over, which is zeroed if there is none. */
void vu_estimate_take(struct vu_estimate *e, struct vu_estimate_report *ret);
void vu_estimate_report_done(struct vu_estimate_report *r);
