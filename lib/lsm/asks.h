/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who wants to write to a marked inode: the questions that the guard's programs put (lsm/ask.h), and what they are
 * answered. Decides nothing, and knows no path of the host's. One thread, but for vu_ask_refuse.
 */
#pragma once

#include "lsm/ask.h"
#include "lsm/lsm.h"

struct vu_asks;

/*
 * fn is told each question; it is valid for that call. asking is copied, its maps are borrowed. Returns 0 or a negative
 * errno.
 */
int vu_asks_new(const struct vu_lsm_asking *asking, void (*fn)(void *arg, const struct vu_ask *ask),
		void *arg, struct vu_asks **ret);
struct vu_asks *vu_asks_free(struct vu_asks *a);

/* To be polled (POLLIN) for questions. Borrowed. */
int vu_asks_fd(const struct vu_asks *a);

/* Tells fn all that there are. Returns 0 or a negative errno. */
int vu_asks_read(struct vu_asks *a);

/* Have there been changes of names, since this was asked last, that there was no room to tell of? */
bool vu_asks_missed(struct vu_asks *a);

/*
 * An inode on which this process holds a lease: who opens it for writing waits from now on. And the way back: he is
 * refused. Return 0 or a negative errno.
 */
int vu_asks_hold(struct vu_asks *a, const struct vu_guard_mark *mark);
int vu_asks_let_go(struct vu_asks *a, const struct vu_guard_mark *mark);

/* The map of answers; borrowed. */
int vu_asks_refusals(const struct vu_asks *a);

/*
 * The next open of the inode for writing by this thread fails with err, a negative errno. Returns 0 or a
 * negative errno.
 */
int vu_ask_refuse(int refusals, uint32_t tid, uint64_t ino, int err);
