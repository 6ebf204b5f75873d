/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger: which moments are open right now and who is frozen, in memory that outlives the process
 * that opened them. It is made before the guardian and the worker part (link/guardian.h); the worker
 * writes, and whoever is left when the worker dies closes what it says. Descriptors in it mean the same
 * in all of them, for they share one table. Owns its memory and nothing that it names. Every function
 * takes NULL for the ledger of a process that has no guardian.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "link/freezer.h"
#include "link/object.h"

struct vu_ledger;

enum vu_ledger_kind {
	VU_LEDGER_MOMENT = 1, /* an object is without its flag */
	VU_LEDGER_ADOPT,      /* a private inode has a name in the pool, and may lack its flag */
	VU_LEDGER_UNUSED,     /* an object that no guest has is being removed */
};

/* What was closed. */
struct vu_ledger_closed {
	unsigned moments;   /* that were open */
	unsigned slips;	    /* of them: somebody had got in, which is noted (link/slip.h) */
	unsigned put_right; /* of them: metadata had been changed */
	bool thawed;	    /* guests were frozen */
	unsigned failed;    /* could not be closed: for recovery */
};

/* Returns NULL without memory. Before there are threads. */
struct vu_ledger *vu_ledger_new(void);
struct vu_ledger *vu_ledger_free(struct vu_ledger *l);

/* What the worker has frozen. NULL for NULL. */
struct vu_frost *vu_ledger_frost(struct vu_ledger *l);

/*
 * Before the first step of what kind says: to be closed from now on. o needs pool, key, fd, ino, and for
 * a moment what its file promises. Returns the entry, for vu_ledger_leave. Any thread.
 */
unsigned vu_ledger_enter(struct vu_ledger *l, enum vu_ledger_kind kind, const struct vu_object *o,
			 size_t max_xattr_bytes);

/* After the last step. 0 is no entry. Any thread. */
void vu_ledger_leave(struct vu_ledger *l, unsigned entry);

/* Are half of the entries in use? Then none is to be kept for long. */
bool vu_ledger_is_crowded(const struct vu_ledger *l);

/* Is there an entry? */
bool vu_ledger_is_open(const struct vu_ledger *l);

/*
 * In another process than the one that wrote it, which is dead (worker: its number, not reaped yet):
 * closes all, as the worker would have done, thaws, and interrupts who waits for one of its leases.
 */
void vu_ledger_close(struct vu_ledger *l, pid_t worker, struct vu_ledger_closed *ret);
