/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A child that does what may wait for ever, watched: reading of a process' memory map waits for as long as the
 * process holds its lock, and only a fatal signal ends that. What the child finds is to be in memory that both
 * share (vu_watched_memory). Knows nothing of vunify.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum vu_watched_e {
	VU_WATCHED_STUCK = 1, /* it made no progress, and was killed */
};

/*
 * Zeroed memory that children share with their parent, touched as it is used. Returns NULL without memory. To be
 * given to munmap(2), or emptied with vu_watched_clear.
 */
void *vu_watched_memory(size_t bytes);
void vu_watched_clear(void *memory, size_t bytes);

/* What a child is to do. */
struct vu_watched {
	int (*fn)(void *arg); /* in the child; may have threads, which end with it */
	void *arg;
	const _Atomic uint64_t *progress; /* shared; NULL: fn sees to it that it ends */
	unsigned idle_ms;		  /* how long that may stay as it is */
	void (*look)(void *arg);	  /* in the parent, some times a second; or NULL */
};

/*
 * Runs w->fn in a child until it ends, or *progress has not changed for idle_ms, or a stop is asked for (base/stop.h).
 * Returns what fn returned, which is 0 or a negative errno; VU_WATCHED_STUCK; -ECANCELED; -EIO if it died; or why there
 * is no child. A child in a wait that ends for no signal is not waited for for long.
 */
int vu_watched_do(const struct vu_watched *w);

/* The same of these. */
int vu_watched_run(const _Atomic uint64_t *progress, unsigned idle_ms, int (*fn)(void *arg),
		   void *arg);
