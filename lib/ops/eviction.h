/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eviction of objects that somebody got open for writing (link/evict.h), for every use-case that opens
 * moments: knows all registered guests, whether they belong to the run or not, tells the link layer
 * whose a process is, and finds the names that are to move. Belongs to the coordinating thread; its
 * watch may be used by any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "guest/procs.h"
#include "link/evict.h"
#include "link/slip.h"
#include "ops/freezing.h"
#include "ops/session.h"

struct vu_eviction {
	struct vu_session *session;  /* borrowed */
	struct vu_guests known;	     /* owned; the registered guests */
	struct vu_procs_root *roots; /* owned; of the session's and the registered guests */
	const char **paths;	     /* owned, the strings borrowed */
	size_t n;		     /* of both */
	const char **domains;	     /* owned, the strings borrowed; NULL-terminated */
	struct vu_freezing freezing;
	struct vu_slip_watch watch;  /* for linker, breaker and recovery */
	struct vu_evict_stats stats; /* of all calls of vu_eviction_run */
};

/*
 * Gets to know the guests of a session that is open. Returns 0, an enum vu_ops_e or a negative errno, with
 * the problem filled. vu_eviction_close in any case.
 */
int vu_eviction_open(struct vu_eviction *e, struct vu_session *s);

/*
 * Evicts what is noted in the session's pools, which are open with their locks; with dry_run only says
 * so. Walks all registered guests if there is anything. Returns 0, an enum vu_ops_e or a negative errno
 * (-ECANCELED after a stop: the next run goes on).
 */
int vu_eviction_run(struct vu_eviction *e, bool dry_run);

/* Frees everything. Accepts a zeroed struct. */
void vu_eviction_close(struct vu_eviction *e);
