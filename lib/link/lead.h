/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leads names of objects over to other objects: the names that a guest has of one object become names of
 * another one, whose content is another. Whoever calls it has decided that this is wanted, and has read both.
 * With linker and breaker the only code that changes guests. Called by the coordinating thread with the
 * pools opened by VU_POOL_CREATE. Objects that somebody got open for writing are noted (link/slip.h),
 * and are for the caller to evict.
 */
#pragma once

#include "link/breaker.h"

/* All names that one guest has of an object, and the object whose names they become. */
struct vu_lead {
	struct vu_break_item it; /* done: written */
	struct vu_key into;
};

/*
 * Leads them over, in batches: names of one item move together, inside of moments of both objects. UNIFY for
 * each name, SKIP for an item that could not be led; objects without a guest are removed. Returns 0;
 * -ECANCELED after a stop; -ENOSPC, -EDQUOT; -EBUSY when recovery is needed first; or another negative
 * errno. In all cases everything is consistent, and ret is written.
 */
int vu_lead_run(const struct vu_breaker_env *env, struct vu_lead *leads, size_t n,
		struct vu_breaker_stats *ret);
