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

/*
 * Runs fn in a child until it ends, or *progress (shared) has not changed for idle_ms, or a stop is asked for
 * (base/stop.h). Returns what fn returned, which is 0 or a negative errno; VU_WATCHED_STUCK; -ECANCELED; -EIO if it
 * died; or why there is no child. To be called while the process has one thread.
 */
int vu_watched_run(const _Atomic uint64_t *progress, unsigned idle_ms, int (*fn)(void *arg),
		   void *arg);
