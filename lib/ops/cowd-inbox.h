/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections of container runtimes to cowd, each of which brings one message: as many at a time as there is room,
 * and each for a few seconds, so that one that says nothing keeps nobody else away. One thread.
 */
#pragma once

#include <poll.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "cow/handoff.h"

#define VU_INBOX_MAX 32 /* connections */

enum vu_inbox_e {
	VU_INBOX_NOTHING = 1, /* nothing has come of it, or not yet */
	VU_INBOX_REFUSED = 2, /* why says what was wrong */
};

struct vu_inbox;

struct vu_inbox *vu_inbox_new(void);
struct vu_inbox *vu_inbox_free(struct vu_inbox *b);
VU_DEFINE_CLEANUP(struct vu_inbox *, vu_inbox_free)

/* Is there room for one more? */
bool vu_inbox_has_room(const struct vu_inbox *b);

/* Adds a connection, which is its own now. proc: the host's /proc. Returns 0, VU_INBOX_REFUSED, or a negative errno. */
int vu_inbox_add_consume(struct vu_inbox *b, int sock, int proc, const char **ret_why);

/* Fills p (VU_INBOX_MAX of them). Returns how many; ret_ms: until one has waited long enough, or -1. */
size_t vu_inbox_poll(const struct vu_inbox *b, struct pollfd *p, int *ret_ms);

/*
 * Goes on with the connections, of which p tells as poll(2) left it; to be called until it returns VU_INBOX_NOTHING.
 * Returns 0 with a message (owned by the caller), VU_INBOX_REFUSED with why (static), or a negative errno of
 * one of them, which is closed.
 */
int vu_inbox_next(struct vu_inbox *b, struct vu_handoff **ret, const char **ret_why);
