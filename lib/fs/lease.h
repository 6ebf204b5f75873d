/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Read leases (fcntl(2), F_SETLEASE): the one cheap proof that nobody has a file open for writing or
 * mapped shared-writable. While one is held, whoever opens the file for writing waits inside open()
 * (at most /proc/sys/fs/lease-break-time seconds; O_NONBLOCK: EAGAIN). Not broken by chmod, rename,
 * link, unlink or flags. Needs root or CAP_LEASE. The process must ignore SIGIO. A lease goes with the
 * last descriptor of the open file description that took it. Measured on Linux 6.18.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Positive result: somebody has it open for writing (or mapped shared-writable). */
enum vu_lease_e {
	VU_LEASE_BUSY = 1
};

/* Takes a read lease on a read-only descriptor. Returns 0, VU_LEASE_BUSY, or a negative errno. */
int vu_lease_take(int fd);

/*
 * How long the kernel lets somebody wait for a lease, before it takes it away: lease-break-time, as it
 * was when this was asked first; UINT64_MAX: for ever. Any thread.
 */
uint64_t vu_lease_break_ns(void);

/* Is the lease held and nobody waiting for it to go? False: somebody waits inside open(). */
bool vu_lease_quiet(int fd);

/*
 * When the lease begins to be broken, a thread gets this real-time signal (with si_fd = fd; lost when
 * too many are pending): for the lease that fd holds. A hint: ask vu_lease_quiet afterwards, too.
 */
void vu_lease_tell(int fd, pid_t tid, int sig);

/* Gives the lease back: whoever waits goes on. */
void vu_lease_drop(int fd);
