/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The use-case behind `vunify cowd`: takes the listeners that container runtimes hand over, and the connections
 * of LXC's monitors, and has a process of its own answer each (ops/ops-serve.h), so that no guest waits for
 * another. It serves nobody itself: when one of these processes is killed, it starts the next one with the same
 * descriptors; when it is killed itself, they go on. The service manager, where there is one, holds the
 * descriptors too: then also a killed lot is replaced, and a new cowd takes over from the servers of the old
 * one.
 */
#pragma once

#include <stdbool.h>

#include "ops/context.h"

#define VU_COWD_FD_LISTENER 3 /* of a server: as execve(2) gives it; or the connection */
#define VU_COWD_FD_KEPT 4

struct vu_cowd_options {
	/* paths, where the service manager has passed no socket; NULL: the usual ones (ops/cowd-socket.h) */
	const char *socket, *lxc_socket;
	char *const *server; /* command line of a server, with a NULL behind */
};

/* Until a stop is asked for (returns VU_OPS_CANCELLED). Else like all operations. */
int vu_ops_cowd(struct vu_ops *ops, const struct vu_cowd_options *o);
