/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts whoever waits inside open() or truncate() for a lease of ours to go: the system call
 * starts anew, meets the immutable flag that is set by now, and fails with EPERM. Without this the
 * end of the lease would hand out a writable descriptor of an object. Called with the lease held.
 * Never touches a process that does not wait for that lease. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Processes that waited, each once; further ones than there is room for are forgotten. */
struct vu_waiters {
	pid_t v[32];
	unsigned n;
};

void vu_waiters_add(struct vu_waiters *to, const struct vu_waiters *more);

/*
 * Interrupts all that wait for a lease on the inode; super_dev is its superblock's device (on btrfs
 * that is not st_dev). Finds them in /proc/locks. seen (or NULL): they are added to it. Returns how
 * many processes waited (0: none), or a negative errno when /proc/locks cannot be read.
 */
int vu_interrupt_waiters(uint64_t super_dev, uint64_t ino, struct vu_waiters *seen);

/* One inode of several, and what was found of it. */
struct vu_wanted {
	uint64_t super_dev, ino;
	bool found;		/* that there is a lease on it at all */
	unsigned n;		/* how many processes waited */
	struct vu_waiters seen; /* they are added to it */
};

/*
 * The same for n inodes together. Who holds a lease and does not find it has not seen who waits, either:
 * a page at a time is read, and between two the kernel may skip some. For several it costs hardly more than for
 * one: reading /proc/locks takes 1.3 ms for each 1,000 leases on the machine. Returns 0 or a negative errno.
 */
int vu_interrupt_waiters_each(struct vu_wanted *v, size_t n);

/* Interrupts one thread, which waits for a lease or is just about to. */
void vu_interrupt_thread(pid_t tgid, pid_t tid);

/*
 * The same for all leases that a process took, which may have ended (but not been reaped: the kernel
 * knows them by its number), while its descriptors live on elsewhere.
 */
int vu_interrupt_waiters_of(pid_t holder);
