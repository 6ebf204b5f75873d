/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of cow/handoff*.h: real listeners, messages with descriptors, and what is open. cmocka's headers come
 * before this one.
 */
#pragma once

#include <sys/types.h>

/* A listener of a process that has ended; owned by the caller. */
int handed_listener(void);

/* How many descriptors this process has open. */
size_t handed_n_open(void);

/* Sends a piece with these descriptors (none: n_fds is 0), which stay the caller's. */
void handed_send(int sock, const void *bytes, size_t size, const int *fds, size_t n_fds);
