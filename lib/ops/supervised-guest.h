/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A registered guest with all that answering its calls takes (cow/supervisor.h): the session, the pool that it
 * shares with others, its own hard links, and whoever it is that looks for slips. For `vunify run` and `vunify
 * cowd`. Belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cow/names.h"
#include "cow/supervisor.h"
#include "link/live.h"
#include "ops/broken-log.h"
#include "ops/context.h"
#include "ops/eviction.h"
#include "ops/session.h"

#define VU_SUPERVISED_THREADS 2 /* that answer: one may be copying a large file */

/* At first VU_SUPERVISED_NONE. */
#define VU_SUPERVISED_NONE ((struct vu_supervised){.session = {.lock_fd = -EBADF}, .mark = -EBADF})

struct vu_supervised {
	struct vu_ops *ops; /* borrowed */
	char *guest;	    /* borrowed: as it was named */
	struct vu_session session;
	struct vu_eviction eviction; /* knows who is in which guest */
	struct vu_slip_watch watch;
	int mark;		/* owned: says that it has copy-on-write (ops/cow-mark.h) */
	char *root;		/* owned; path of the guest's root */
	struct vu_names *names; /* owned; NULL: nothing can be unified */
	struct vu_broken_log log;
	struct vu_budget budget;
	struct vu_live_env live_env;
	struct vu_live *live; /* owned */
	struct vu_supervisor_env supervisor_env;
	struct vu_supervisor *supervisor; /* owned */
	uint64_t slips;			  /* that were seen to */
};

/* What came of it. */
struct vu_supervised_report {
	struct vu_supervisor_stats calls;
	struct vu_live_stats broken;
	uint64_t warnings, damages;
};

/*
 * Opens the session of one guest (a name or a root), says how it is supervised ("vunify run"), puts right what
 * was left there, and finds the guest's own hard links. Returns like vu_session_open. s must be closed in any
 * case.
 */
int vu_supervised_open(struct vu_supervised *s, struct vu_ops *ops, char *guest, const char *how);

/* Where its unified files are; NULL: nothing can be, or is yet, unified where it is. */
struct vu_pool *vu_supervised_pool(const struct vu_supervised *s);

/* Finds the guest's own hard links anew: it may have made some. Returns 0 or a negative errno; then there are none. */
int vu_supervised_find_names(struct vu_supervised *s);

/* Makes s->live, for who breaks links without a supervisor. There has to be a pool. Returns 0 or a negative errno. */
int vu_supervised_live(struct vu_supervised *s);

/*
 * Begins to answer. There has to be a pool. There are threads from here on, so no other process can be made. listener,
 * limited (NULL: not may_act), slots (VU_SUPERVISED_THREADS of them, or NULL): see struct vu_supervisor_env. Returns 0 or
 * a negative errno.
 */
int vu_supervised_start(struct vu_supervised *s, int listener, _Atomic uint32_t *limited,
			struct vu_notify_slot *slots);

/* To be called each second or so, from the start on. */
void vu_supervised_look(struct vu_supervised *s);

/* Ends the threads, and frees everything. Accepts what was never opened; may be called twice. */
void vu_supervised_close(struct vu_supervised *s, struct vu_supervised_report *ret);
