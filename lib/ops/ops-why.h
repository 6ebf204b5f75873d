/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What holds for a path: unified with whom, or what stopped it. Looks, changes nothing. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "model/skip.h"
#include "ops/context.h"

enum vu_why_state {
	VU_WHY_UNIFIED, /* a name of an object */
	VU_WHY_PRIVATE, /* not, because of skip */
	VU_WHY_PENDING, /* private, and the next scan would unify it */
	VU_WHY_OUTSIDE, /* in no registered guest */
	VU_WHY_MISSING, /* not there, or not to be reached: err */
};

struct vu_why {
	enum vu_why_state state;
	enum vu_skip skip; /* VU_WHY_PRIVATE */
	int err;	   /* negative errno, or 0 */
	char *guest;	   /* owned; name, or NULL */
	char *path;	   /* owned; relative to the guest's root, or NULL */
	char *object;	   /* owned; name of the object, or NULL */
	char *value; /* owned; the fact or the rule: "security.capability", "0/100000", or NULL */
	char **partners;   /* owned; "GUEST:PATH" of others with the same inode or content */
	size_t n_partners; /* how many are listed */
	uint64_t n_more;   /* how many are there besides */
};

/* The answer for one path of the host. Returns 0, VU_OPS_NOT_SET_UP or another code. */
int vu_ops_why(struct vu_ops *ops, const char *path, struct vu_why *ret_why);

void vu_why_done(struct vu_why *w);
