/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which guests have a file open for writing, or mapped shared-writable? Reads /proc; touches no
 * process. True for the instant of the look, and as far as /proc shows: a descriptor that is on its
 * way in a socket, or a process whose root is neither a guest's nor ours, is not seen. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest/procs.h"

/* What was found of one guest. */
struct vu_openers_found {
	bool holds;  /* one of its processes has it open for writing, or mapped */
	bool waited; /* one of the processes that were asked for is of it */
};

/*
 * Looks for who has the inode (dev as st_dev; 0: nobody is looked for) open, and to which of the n
 * roots (paths: where they are; absolute, without a trailing '/') these processes and those numbered in
 * waited belong: to the innermost root, as guest/procs.h says. A descriptor of a process outside of all
 * roots counts for the guest in whose tree the file was opened: an admin at work in it. ret_found has n
 * + 1 elements; the last is for what belongs to no guest. Returns 0, -ENOMEM, or what opening /proc
 * gave.
 */
int vu_openers_find(const struct vu_procs_root *roots, const char *const *paths, size_t n,
		    uint64_t dev, uint64_t ino, const pid_t *waited, size_t n_waited,
		    struct vu_openers_found *ret_found);
