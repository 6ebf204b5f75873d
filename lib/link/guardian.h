/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guardian: a process that changes guests is split into three before it begins. The one that was
 * started is the front: it has the number that people see, passes signals on, and ends as the worker
 * does. Its child is the guardian, whose child is the worker, which goes on as if nothing had happened.
 * All three have one table of descriptors, so that the worker's leases outlive it, and one ledger.
 *
 * The worker is killed: the guardian closes what the ledger says. The guardian is killed too: the front
 * does. The front or the guardian is killed: the worker stops at its next safe point. All three at once
 * (and power lost): what is open stays open until recovery.
 *
 * Called by cmd/ once, without threads and without anything open that the worker must have for itself.
 */
#pragma once

#include <stdbool.h>

#include "link/ledger.h"

enum vu_guardian_e {
	VU_GUARDIAN_ENDED = 1 /* this is not the worker, and the worker has ended */
};

/* How the worker ended. */
struct vu_guardian_end {
	int exit_code; /* of the worker; 1 when a signal ended it */
	int signal;    /* that ended it, or 0 */
	bool closing;  /* this process closed what the worker left open: it is the one to say so */
	struct vu_ledger_closed closed;
};

/*
 * Who serves guests goes on when the worker is killed: the guardian closes what it had open, its descriptors too,
 * and makes another worker, which begins anew. The first one and that one know of each other by shared memory.
 */
struct vu_guardian_again {
	unsigned times;			  /* at most */
	bool (*keeps)(void *arg, int fd); /* is it to stay open for the next one? In the guardian */
	void *arg;
};

/*
 * Splits the process; again (or NULL) is borrowed. Returns 0 in the worker, with ret_ledger; VU_GUARDIAN_ENDED
 * in the others, once the worker has ended, with ret_end; or a negative errno when it cannot be split: then
 * there is still one process, and nobody watches it. Streams must be flushed before.
 */
int vu_guardian_split(const struct vu_guardian_again *again, struct vu_ledger **ret_ledger,
		      struct vu_guardian_end *ret_end);
