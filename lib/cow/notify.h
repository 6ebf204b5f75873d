/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seccomp listener (seccomp_unotify(2)): takes notifications and answers them. Borrows the listener; owns the
 * buffers, whose sizes are the kernel's. One for each thread; any number of them on one listener.
 */
#pragma once

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

struct vu_notify;

int vu_notify_new(int listener, struct vu_notify **ret);

/* Accepts NULL, returns NULL. */
struct vu_notify *vu_notify_free(struct vu_notify *n);

/*
 * Both sides of a notification run on one processor, where the kernel knows how (6.6): halves what it costs.
 * Of the listener, not of a thread.
 */
void vu_notify_sync_wake_up(int listener);

/*
 * Waits for a notification. Returns 0, with ret (borrowed until the next call); -EINTR after a signal;
 * -ENOENT when it was gone again; or another negative errno.
 */
int vu_notify_receive(struct vu_notify *n, const struct seccomp_notif **ret);

/* Does the thread wait for it still? Else its number may be another's by now. */
bool vu_notify_is_valid(const struct vu_notify *n, uint64_t id);

/* The kernel goes on with the call. Returns 0; -ENOENT: nobody waits any more; or another negative errno. */
int vu_notify_continue(struct vu_notify *n, uint64_t id);

/* The call fails with this negative errno. The same. */
int vu_notify_fail(struct vu_notify *n, uint64_t id, int err);

/* The call returns 0 without the kernel having done anything. The same. */
int vu_notify_done(struct vu_notify *n, uint64_t id);

/*
 * Puts an open file (borrowed) in the place of a descriptor of the waiting process. Returns 0 or a negative
 * errno.
 */
int vu_notify_replace_fd(const struct vu_notify *n, uint64_t id, int fd, int number, bool cloexec);
