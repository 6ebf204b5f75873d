/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest may have copied for it: so many breaks, so many bytes a second, with what one second would bring
 * saved up (the generic cell rate algorithm, ITU-T I.371). Who asks for more waits, and nobody else does: each
 * guest has its own. Any thread.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cow/notify.h"

/* Zeroed: no limit. */
struct vu_budget {
	uint64_t breaks, bytes; /* a second; 0: no limit */
	_Atomic int64_t due;	/* ns: when all that was taken will have been earned */
};

/*
 * Takes one break of so many bytes, now being vu_clock_ns(). Returns how many ns the caller has to wait before it is
 * done, 0: none.
 */
int64_t vu_budget_take(struct vu_budget *b, uint64_t bytes, int64_t now);

/*
 * The same for who waits for so many ns at most: -1 where it would be longer. Then nothing is taken, or who asks again and
 * again would put off his turn for ever.
 */
int64_t vu_budget_take_within(struct vu_budget *b, uint64_t bytes, int64_t now, int64_t most);

/*
 * Takes it (b may be NULL: no limit) and waits, for as long as somebody waits for the notification, or until a signal
 * comes: whoever ends the thread does not wait for a guest. Returns whether somebody waits still: for nobody nothing is
 * to be done, or a guest had it sooner by killing who asks.
 */
bool vu_budget_wait(struct vu_budget *b, uint64_t bytes, const struct vu_notify *n, uint64_t id);

/*
 * Is there room for so many bytes on the file system of fd without the blocks that are kept for root (ext4)?
 * The copy is made by root, for somebody who may not have those. Returns 0, -ENOSPC, or another negative errno.
 */
int vu_budget_room(int fd, uint64_t bytes);
