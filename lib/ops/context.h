/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every use-case of lib/ops gets from its caller, and how it says why it could not go on. It
 * never prints; cmd/ turns a problem into one message and a positive result into an exit code.
 */
#pragma once

#include <stdbool.h>

#include "model/config.h"
#include "model/event.h"
#include "model/guest.h"
#include "model/progress.h"

struct vu_ledger;

/* Why an operation cannot go on. All strings are owned, any may be NULL. */
struct vu_problem {
	char *what; /* what failed: "cannot scan" */
	char *on;   /* on what: a path, a guest, a file system; raw bytes, escaped by the printer */
	char *why;  /* "its root is on tmpfs, which holds no immutable files" */
	char *todo; /* what to do about it: "use --trust-guests if ..." */
};

struct vu_ops {
	const struct vu_config *config; /* borrowed */
	const struct vu_sink *sink;	/* borrowed; events of the run */
	struct vu_progress *progress;	/* borrowed; or NULL */
	struct vu_problem *problem;	/* borrowed; filled when an operation fails */
	bool per_file; /* somebody wants the events about single files; else WARN and DAMAGE are enough */
	/*
	 * Called once, or NULL, when a run knows its guests and before it touches the first: the order
	 * is that of vu_progress.guest. The list is the run's; what is needed later must be copied.
	 */
	void (*guests_known)(void *arg, const struct vu_guests *guests);
	void *guests_known_arg;
	struct vu_ledger
		*ledger; /* borrowed; open moments, for the guardian (or NULL: there is none) */
};

/* Positive results of every vu_ops_* function; negative errno besides. All fill ops->problem. */
enum vu_ops_e {
	VU_OPS_NOT_SET_UP = 1, /* no catalog, or no guests: nothing to work on */
	VU_OPS_LOCKED,	       /* another vunify holds the lock */
	VU_OPS_REFUSED,	       /* unsafe, or the file system cannot do it */
	VU_OPS_NO_SPACE,       /* the disk would be full */
	VU_OPS_DAMAGED,	       /* something is damaged, and going on would make it worse */
	VU_OPS_USAGE,	       /* the request makes no sense: no such guest, bad name */
	VU_OPS_CANCELLED,      /* a stop was asked for; everything is consistent */
};

/*
 * Replaces the problem's strings by copies; NULL leaves a part out. p may be NULL. Without memory
 * parts stay empty: the result code still says enough.
 */
void vu_problem_set(struct vu_problem *p, const char *what, const char *on, const char *why,
		    const char *todo);

/* Frees what p owns and zeroes it. */
void vu_problem_done(struct vu_problem *p);
