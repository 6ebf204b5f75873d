/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The roots by which the processes of guests are known: of those that a session is about, and of all other
 * registered ones behind them, since what a guest shares it shares with those too. And what guests cannot be
 * looked at. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "guest/procs.h"
#include "ops/session.h"

struct vu_guest_roots {
	struct vu_procs_root *v; /* owned; the session's guests first, in their order */
	size_t n;
	bool *unread; /* owned; one for each: a process of it could not be read; nor is any further one */
};

/*
 * Without a catalog there are only the session's guests. more: further elements of v and unread that are left to
 * the caller, beyond n. Returns 0, or as vu_ops functions; vu_guest_roots_done in any case.
 */
int vu_guest_roots_of(struct vu_session *s, size_t more, struct vu_guest_roots *ret);
void vu_guest_roots_done(struct vu_guest_roots *r);

/* Adds the directory that "/" is here: whose processes no guest has are the host's. In one of the more. */
int vu_guest_roots_add_host(struct vu_guest_roots *r);
