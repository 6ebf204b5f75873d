/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a farm that was walked to the plan: reads what has to be read, and asks whoever knows what a plan
 * rests on (which guest has which object, which inode is in use, which object is sound). Changes nothing.
 * A part of a scan; belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>

#include "base/hash.h"
#include "base/inomap.h"
#include "guest/mapped.h"
#include "model/plan.h"
#include "ops/estimate.h"
#include "ops/farm.h"
#include "ops/owners.h"
#include "ops/session.h"
#include "scan/content.h"

struct vu_scan_plan {
	struct vu_session *session; /* borrowed */
	struct vu_farm *farm;	    /* borrowed */
	struct vu_plan plan;
	bool estimates; /* how much memory the plan would free: the estimate is begun before files are read */
	/*
	 * Where nothing is going to be linked, and only the estimate is wanted: what the catalog knows of files that
	 * are as they were is not read again, unless somebody has them in use.
	 */
	bool believes;
	struct vu_estimate estimate;
	struct vu_content_stats content;
	struct vu_owners owners;
	struct vu_hash *hash;	  /* for objects; NULL until it is needed */
	struct vu_inomap *asked;  /* one for each file system: is_sound's answers */
	struct vu_mapped *mapped; /* one for each file system; NULL until it is asked for */
};

/* The plan rests on rows that do not fit to what there is; none of the codes of ops. */
#define VU_SCAN_NOT_BELIEVED 1000

/* Reads the files that may have equals. Returns 0, or as vu_ops functions. */
int vu_scan_read_content(struct vu_scan_plan *s);

/*
 * The plan, with all names known of the objects that get further ones. full: all directories were read.
 * Returns 0, VU_SCAN_NOT_BELIEVED (not if full: read them all, then), or as vu_ops functions.
 */
int vu_scan_make_plan(struct vu_scan_plan *s, bool full);

/* Forgets the plan and what it rests on, for another one. */
void vu_scan_plan_forget(struct vu_scan_plan *s);

/* Frees what s owns. */
void vu_scan_plan_done(struct vu_scan_plan *s);
