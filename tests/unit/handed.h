/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of cow/handoff*.h: real listeners, messages with descriptors, and what is open. cmocka's headers come
 * before this one.
 */
#pragma once

#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/types.h>

/* A listener of a process that has ended; owned by the caller. */
int handed_listener(void);

/*
 * Starts a process that makes a call that is notified (unlink of "/nowhere/a"), and exits with its errno. Returns its
 * listener; owned by the caller, as the process is.
 */
int handed_caller(pid_t *ret);

/* A message as LXC makes it, of at most VU_LXC_BYTES_MAX bytes. Returns its size. */
size_t handed_lxc_message(char *out, const struct seccomp_notif_sizes *kernel, pid_t monitor,
			  const struct seccomp_notif *req, const char *cookie);

/* How many descriptors this process has open. */
size_t handed_n_open(void);

/* Sends a piece with these descriptors (none: n_fds is 0), which stay the caller's. */
void handed_send(int sock, const void *bytes, size_t size, const int *fds, size_t n_fds);
