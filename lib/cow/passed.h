/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that another process passes with a message of a Unix socket (SCM_RIGHTS): received into a list that
 * owns them, so that none is left open whatever the message turns out to be. Who sends decides how many there are
 * and what they are. Believes nothing, and calls nothing of the file that a descriptor is open on but where said.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define VU_PASSED_MAX 253 /* what the kernel takes with one message (SCM_MAX_FD) */

/* Zeroed at first. */
struct vu_passed {
	size_t n;
	int fds[VU_PASSED_MAX]; /* owned; O_CLOEXEC; -EBADF: taken */
	int64_t sent_ns; /* CLOCK_REALTIME: when it was sent, if the socket tells (SO_TIMESTAMPNS) */
};

/* Closes all; p is empty again. */
void vu_passed_done(struct vu_passed *p);
VU_DEFINE_CLEANUP_DONE(struct vu_passed, vu_passed_done)

/* Hands the i-th over to the caller. */
int vu_passed_take(struct vu_passed *p, size_t i);

/*
 * Receives what there is of a stream, or the next message of another socket, without waiting, and adds the
 * descriptors that come with it. Returns the bytes, 0 at the end (or for an empty message); -EAGAIN: there is nothing
 * yet; -EMSGSIZE: the message is longer than size; -E2BIG: the list is full; -EMFILE: the kernel has kept some back
 * because this process may not open more; or another negative errno. Also after an error all that came is in the
 * list, or closed.
 */
ssize_t vu_passed_receive(int sock, void *buf, size_t size, struct vu_passed *p);

/*
 * Is it a seccomp listener? Told by the kernel's own name for it, in /proc (which has to be the host's), and only
 * then asked: an ioctl that another file takes for one of its own could do or wait for anything.
 */
bool vu_passed_is_listener(int fd);
