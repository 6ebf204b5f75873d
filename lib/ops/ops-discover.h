/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The roots of guests that container tools have on this host, and whether each could be unified. Registers nothing. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ops/context.h"

enum vu_proposal_verdict {
	VU_PROPOSAL_YES,
	VU_PROPOSAL_TRUST, /* not while it runs, unless one admin owns all guests */
	VU_PROPOSAL_DISK,  /* only by --mode=reflink: saves disk, not memory */
	VU_PROPOSAL_NO,
	VU_PROPOSAL_REGISTERED, /* it is a guest already */
};

struct vu_proposal {
	const char *tool; /* static: "lxc", ... */
	char *name;    /* owned; what the tool calls it; of a registered one its name as a guest */
	char *path;    /* owned */
	char *fs_type; /* owned; NULL where it cannot be told */
	char *why;     /* owned; what stands against it, or what to know; NULL: nothing */
	enum vu_proposal_verdict verdict;
};

struct vu_proposals {
	struct vu_proposal *v; /* owned */
	size_t n;
	uint64_t warnings;
};

/* Returns 0, an enum vu_ops_e or a negative errno; ret is to be freed in any case. */
int vu_ops_discover(struct vu_ops *ops, struct vu_proposals *ret);

void vu_proposals_done(struct vu_proposals *p);
