/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The service manager, by libsystemd: descriptors that it holds for a service that may die or be started anew (FDSTORE;
 * sd_pid_notify_with_fds(3)), its sockets (sd_listen_fds(3)), and what it is told. Without one nothing is held, and
 * nothing wrong.
 */
#pragma once

#include <stddef.h>

struct vu_fd_store_item {
	int fd;	    /* owned; -EBADF: taken */
	char *name; /* owned; that it was stored by, or the socket unit's */
};

struct vu_fd_store {
	struct vu_fd_store_item *v; /* owned */
	size_t n;
};

/* Takes what the manager has passed; once. Returns 0 or a negative errno. */
int vu_fd_store_take(struct vu_fd_store *ret);
void vu_fd_store_done(struct vu_fd_store *s);

/*
 * Has it hold n descriptors (which stay the caller's) by a name. Returns 0, -ENOTCONN: there is no manager; or
 * a negative errno.
 */
int vu_fd_store_put(const char *name, const int *fds, size_t n);

/* Has it close those of a name. */
void vu_fd_store_forget(const char *name);

/* Tells it of the state, as in "READY=1". */
void vu_fd_store_tell(const char *state);
