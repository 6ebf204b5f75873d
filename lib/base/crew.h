/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A crew: n threads that run one function each and are joined. Work is shared by an atomic counter
 * or a queue of the caller's; the crew knows nothing of it. Signals are blocked in the threads, so
 * that they arrive in the coordinating thread.
 */
#pragma once

#include <stddef.h>

/*
 * Runs fn(arg, i) for i in 0 .. n-1, each in a thread of its own (with n == 1 in the calling thread),
 * and waits for all. Where fewer threads can be made than asked for, the others' calls are run by
 * the calling thread afterwards: so fn must cope with finding no work left. Returns the first
 * non-zero result of fn in the order of i, or 0.
 */
int vu_crew_run(unsigned n, int (*fn)(void *arg, unsigned i), void *arg);

struct vu_crew;

/*
 * The same without waiting: also with n == 1 in a thread of its own. NULL without memory; what could not be
 * started is run by the wait.
 */
struct vu_crew *vu_crew_start(unsigned n, int (*fn)(void *arg, unsigned i), void *arg);

/* Waits for all, and frees it. Returns as vu_crew_run; 0 for NULL. */
int vu_crew_wait(struct vu_crew *c);
