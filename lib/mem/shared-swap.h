/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of shared memory (tmpfs, memfd_create(2), System V, shared anonymous) that are swapped out, as far as processes
 * have them mapped. /proc/PID/pagemap says nothing of them: the page table has no entry for such a page, and its
 * slot stands in the file's own index. /proc/PID/smaps has their number (Linux 4.5), mapping by mapping, but not
 * which they are; so they are counted, and their content is not looked at. What nobody has mapped (a file in a
 * tmpfs) is in the charge of a cgroup only.
 *
 * A range of a file counts once for each owner, however many of its processes have it mapped. Reads; changes
 * nothing. May wait as mem/maps.h says. Several threads may add.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct vu_shared_swap;

/* Ranges that are remembered; further ones count for nothing, so what is counted is the least. */
#define VU_SHARED_SWAP_MAX 16384

int vu_shared_swap_new(struct vu_shared_swap **ret);
struct vu_shared_swap *vu_shared_swap_free(struct vu_shared_swap *s);

/*
 * Adds what a process (task_fd: its directory in /proc, or a thread's) has to *pages of its owner, which the caller
 * keeps. beat grows meanwhile. Costs next to nothing for a process that maps no such memory, or where nothing at all
 * is swapped out. Returns 0 (also when the process has ended, or cannot be looked at), or -ENOMEM.
 */
int vu_shared_swap_add(struct vu_shared_swap *s, size_t owner, int task_fd, _Atomic uint64_t *beat,
		       uint64_t *pages);
