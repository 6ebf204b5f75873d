/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fork(2) with flags of clone3(2) (Linux 5.3; by clone(2) where a filter keeps that away): namespaces of its
 * own, a table of descriptors that is shared. Knows nothing of vunify. To be called while the process has one
 * thread: what fork(2) does about others' locks is not done.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/*
 * Forks. flags: CLONE_*, but none that shares memory. Returns 0 in the child, in the parent the child's
 * number, or a negative errno. ret_pidfd (may be NULL): in the parent, a pidfd of the child (O_CLOEXEC), which
 * has come with it: to be opened later there may be no descriptor left.
 */
pid_t vu_fork(uint64_t flags, int *ret_pidfd);
