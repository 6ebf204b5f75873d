/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock of a catalog: one vunify at a time writes to it. A file in the lock directory, named after
 * the catalog's path, so that farms with catalogs of their own do not wait for each other. Held by
 * flock(2): it goes with the process, whatever ends it.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Positive result: somebody else holds it. */
enum vu_lock_e {
	VU_LOCK_BUSY = 1
};

/*
 * Takes the lock, making the directory (0755) and the file (0600) where missing. Returns 0 and the
 * descriptor that holds it; VU_LOCK_BUSY, and in ret_pid who has it (0: not known); or a negative
 * errno.
 */
int vu_lock_take(const char *dir, const char *catalog, int *ret_fd, pid_t *ret_pid);

/* The name of a file in the lock directory that belongs to a catalog: WHAT-HASH. 0 or errno. */
int vu_lock_name(const char *what, const char *catalog, char *name, size_t size);
