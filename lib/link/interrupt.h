/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts whoever waits inside open() or truncate() for a lease of ours to go: the system call
 * starts anew, meets the immutable flag that is set by now, and fails with EPERM. Without this the
 * end of the lease would hand out a writable descriptor of an object. Called with the lease held.
 * Never touches a process that does not wait for that lease. Any thread.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Processes that waited, each once; further ones than there is room for are forgotten. */
struct vu_waiters {
	pid_t v[32];
	unsigned n;
};

/*
 * Interrupts all that wait for a lease on the inode. Finds them in /proc/locks. seen (or NULL): they
 * are added to it. Returns how many processes waited (0: none), or a negative errno when /proc/locks
 * cannot be read.
 */
int vu_interrupt_waiters(uint64_t ino, struct vu_waiters *seen);

/*
 * The same for all leases that a process took, which may have ended (but not been reaped: the kernel
 * knows them by its number), while its descriptors live on elsewhere.
 */
int vu_interrupt_waiters_of(pid_t holder);
