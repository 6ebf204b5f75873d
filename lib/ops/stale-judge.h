/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is what a process has mapped still the content of what is there now? Asked twice: in the child that looks at the
 * processes, of what is known by its path; and afterwards of what vunify itself replaced, whose path is lost. Reads
 * files of guests, quietly; changes nothing. One thread.
 */
#pragma once

#include "base/hash.h"
#include "mem/holders.h"
#include "mem/replaced.h"
#include "ops/session.h"

struct vu_stale_judge {
	struct vu_session *session; /* borrowed; its pools are found */
	struct vu_holders *h;	    /* borrowed */
	struct vu_hash *hash;	    /* owned */
	uint64_t *read;		    /* owned; bytes read for each guest of the session */
	uint8_t *buf;		    /* owned */
};

/* Returns 0 or -ENOMEM; _done in any case. */
int vu_stale_judge_init(struct vu_stale_judge *j, struct vu_session *s, struct vu_holders *h);
void vu_stale_judge_done(struct vu_stale_judge *j);

/*
 * Fills i, new in the table, by what is mapped: what it is, and what became of it. Its guest is one of the session's,
 * or another one, of whom nothing is read. Returns 0, or a negative errno that ends it all (-ENOMEM, -EMFILE).
 */
int vu_stale_judge_mapped(struct vu_stale_judge *j, const struct vu_replaced *r,
			  struct vu_holders_inode *i);

/*
 * Finds out about those that are VU_HOLDERS_MOVED: walks the guests, if there is any. Returns 0 or as vu_ops functions.
 */
int vu_stale_judge_moved(struct vu_stale_judge *j);
