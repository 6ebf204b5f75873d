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

/* Positive result: somebody has it open for writing (or mapped shared-writable). */
enum vu_lease_e {
	VU_LEASE_BUSY = 1
};

/* Takes a read lease on a read-only descriptor. Returns 0, VU_LEASE_BUSY, or a negative errno. */
int vu_lease_take(int fd);

/* Is the lease held and nobody waiting for it to go? False: somebody waits inside open(). */
bool vu_lease_quiet(int fd);

/* Gives the lease back: whoever waits goes on. */
void vu_lease_drop(int fd);
