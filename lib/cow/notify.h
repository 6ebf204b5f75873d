/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seccomp listener (seccomp_unotify(2)), or a connection of LXC's monitor, which has one and passes on what
 * comes of it (cow/lxc-channel.h): takes notifications and answers them. Borrows the descriptor; owns the
 * buffers, whose sizes are the kernel's. One for each thread; any number of them on one listener.
 */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include "cow/lxc-channel.h"

struct vu_notify;

/*
 * What a thread has taken and not answered yet, in memory that outlives its process (MAP_SHARED, zeroed at first): a
 * notification that was taken is given to nobody else by the kernel, so whoever takes the thread's place goes
 * on with this one.
 */
struct vu_notify_slot {
	_Atomic uint64_t tried,
		tried_ino;     /* id of one that was about to be carried out, on this inode */
	_Atomic uint64_t done; /* id of one that was carried out, and only has to be answered */
	union {
		_Alignas(8) char taken[512]; /* struct seccomp_notif; its id is 0: there is none */
		struct vu_lxc_slot lxc;
	};
};

/* Is this descriptor one of the two? */
bool vu_notify_is_source(int fd);

/* slot (borrowed) is the thread's own; or NULL. Returns 0 or a negative errno. */
int vu_notify_new(int source, struct vu_notify_slot *slot, struct vu_notify **ret);

/* What another process has left in the slot, to be answered first; or NULL. */
const struct seccomp_notif *vu_notify_left(const struct vu_notify *n);

/* Accepts NULL, returns NULL. */
struct vu_notify *vu_notify_free(struct vu_notify *n);

/*
 * Both sides of a notification run on one processor, where the kernel knows how (6.6): halves what it costs.
 * Of the listener, not of a thread. A connection has none of its own.
 */
void vu_notify_sync_wake_up(int source);

/*
 * Waits for a notification. Returns 0, with ret (borrowed until the next call); -EINTR after a signal;
 * -ENOENT when it was gone again; or another negative errno (-EPIPE: LXC's monitor has ended).
 */
int vu_notify_receive(struct vu_notify *n, const struct seccomp_notif **ret);

/* Does the thread wait for it still? Else its number may be another's by now. */
bool vu_notify_is_valid(const struct vu_notify *n, uint64_t id);

/* The kernel goes on with the call. Returns 0; -ENOENT: nobody waits any more; or another negative errno. */
int vu_notify_continue(struct vu_notify *n, uint64_t id);

/* The call fails with this negative errno. The same. */
int vu_notify_fail(struct vu_notify *n, uint64_t id, int err);

/*
 * The call that was received last was carried out: it returns 0 without the kernel doing anything. To be noted at
 * once, before any other system call (notify: a struct vu_notify; as struct vu_live_name has it); then the answer, the
 * same. Was it noted, by this process or the one before it?
 */
void vu_notify_note_done(void *notify);

/*
 * It is about to be: whoever goes on with it has to find out whether it was. For vu_notify_tried, which returns that
 * inode, or 0.
 */
void vu_notify_note_trying(void *notify, uint64_t ino);
uint64_t vu_notify_tried(const struct vu_notify *n, uint64_t id);
bool vu_notify_is_done(const struct vu_notify *n, uint64_t id);
int vu_notify_done(struct vu_notify *n, uint64_t id);

/*
 * Puts an open file (borrowed) in the place of a descriptor of the waiting process. Returns 0 or a negative
 * errno.
 */
int vu_notify_replace_fd(const struct vu_notify *n, uint64_t id, int fd, int number, bool cloexec);
