/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection of LXC's monitor (cow/handoff-lxc.h), as a thread takes notifications from it and answers them: each is
 * answered once, and in time. Any number of these on one connection. Part of cow/notify.h; nobody else calls it.
 *
 * The monitor sends one message, waits for the answer for 30 seconds, and takes whatever comes for the answer to it
 * (LXC 5.0.2: it puts the right number into one that has another, and goes on). So an answer too many, or too
 * late, would make each answer that follows the answer to another call. Where it cannot be told whether the
 * monitor waits for one, the connection is shut down instead: what waits fails with ENOSYS, and the monitor
 * connects anew for the next call.
 */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include "cow/handoff-lxc.h"

struct vu_lxc_channel;

/* What a thread has at hand, in memory that outlives its process (MAP_SHARED, zeroed at first). */
struct vu_lxc_slot {
	_Atomic int64_t sent_ns;		    /* CLOCK_REALTIME; 0: not known (yet) */
	_Atomic uint32_t answering;		    /* the answer may have been sent */
	_Atomic uint32_t begun;			    /* not the first one any more */
	_Alignas(8) char message[VU_LXC_BYTES_MAX]; /* begins with zeroes: there is none */
};

/* Is this descriptor such a connection, by its kind? */
bool vu_lxc_channel_is(int fd);

/* To be called when it was accepted, once. Returns 0 or a negative errno. */
int vu_lxc_channel_prepare(int sock);

/*
 * sock and slot (borrowed) are the thread's; slot may be NULL. Looks at once after what another process has left in the
 * slot. Returns 0 or a negative errno.
 */
int vu_lxc_channel_new(int sock, struct vu_lxc_slot *slot, struct vu_lxc_channel **ret);

/* Accepts NULL, returns NULL. */
struct vu_lxc_channel *vu_lxc_channel_free(struct vu_lxc_channel *c);

/* What another process has left, to be answered first; or NULL. */
const struct seccomp_notif *vu_lxc_channel_left(const struct vu_lxc_channel *c);

/*
 * Waits for a message. Returns 0 with ret (borrowed until it is answered); -EINTR after a signal; -ENOENT: another
 * thread has it; -EPIPE: the connection has ended; or another negative errno.
 */
int vu_lxc_channel_receive(struct vu_lxc_channel *c, const struct seccomp_notif **ret);

/* The listener that the notification at hand is of (borrowed), or -EBADF. */
int vu_lxc_channel_listener(const struct vu_lxc_channel *c);

/*
 * Answers what is at hand: err and flags as in struct seccomp_notif_resp. Returns 0; -ENOENT: nobody waits any more, or
 * the connection was shut down; or another negative errno.
 */
int vu_lxc_channel_answer(struct vu_lxc_channel *c, int err, uint32_t flags);
