/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The use-case behind `vunify cowd`: takes the listeners that container runtimes hand over, and has a process of its own
 * answer each (ops/ops-serve.h), so that no guest waits for another. It serves nobody itself: when one of these
 * processes is killed, it starts the next one with the same descriptors; when it is killed itself, they go on. The service
 * manager, where there is one, holds the descriptors too: then also a killed lot is replaced, and a new cowd takes over
 * from the servers of the old one.
 */
#pragma once

#include <stdbool.h>

#include "ops/context.h"

#define VU_COWD_FD_LISTENER 3 /* of a server: as execve(2) gives it */
#define VU_COWD_FD_KEPT 4

struct vu_cowd_options {
	const char *socket; /* path; where the service manager has passed none. NULL: the default */
	char *const *server; /* command line of a server, with a NULL behind */
};

/* Where runtimes connect to, unless it is said otherwise: in the configuration's lock_dir. malloc'ed, or NULL. */
char *vu_cowd_socket(const struct vu_config *config);

/* Until a stop is asked for (returns VU_OPS_CANCELLED). Else like all operations. */
int vu_ops_cowd(struct vu_ops *ops, const struct vu_cowd_options *o);
