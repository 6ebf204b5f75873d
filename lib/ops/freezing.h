/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Freezing in a session: which guests are frozen for a moment (`moment` in vunify.conf), and what a run
 * that was killed has left frozen. Joins lib/guest/freezable and lib/link/freezer.
 */
#pragma once

#include "guest/procs.h"
#include "link/freezer.h"
#include "ops/session.h"

struct vu_freezing {
	struct vu_freezer_watch watch;
	struct vu_freezer *freezer;	   /* owned; NULL: nobody is frozen (moment = lease) */
	const struct vu_procs_root *roots; /* borrowed; all guests that may have names of objects */
	size_t n;
};

/*
 * For a run over guests with these roots, which outlive it. Returns 0; with moment = freeze
 * VU_OPS_REFUSED where one of them runs that cannot be frozen; or a negative errno. The problem is
 * filled. f must be closed in any case.
 */
int vu_freezing_open(struct vu_freezing *f, struct vu_session *s, const struct vu_procs_root *roots,
		     size_t n, const char *const *paths);
void vu_freezing_close(struct vu_freezing *f);

/*
 * With the catalog's lock: has a run that was killed together with its guardian left guests frozen? And
 * thaws them, which is told.
 */
bool vu_freezing_is_left(const struct vu_session *s);
void vu_freezing_lift(struct vu_session *s);
