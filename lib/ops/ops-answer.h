/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copy-on-write under the guard, for one guest: what `vunify cowd --lsm` has a process of its own for. Threads of the
 * guest wait inside of open() for a lease of the keeper's; each is given its private copy here, by the steps of
 * link/live.h, and is interrupted then, so that its call begins anew and finds it. Where there can be no copy, its call
 * fails with the reason. Trusts no path that it is told: what is there has to be the inode that was asked for.
 */
#pragma once

#include "ops/context.h"
#include "ops/supervised-guest.h"

struct vu_answer_options {
	char *guest;  /* borrowed; path of its root */
	int socket;   /* borrowed; to the keeper: struct vu_answer_msg */
	int refusals; /* borrowed */
};

/* Until the keeper closes its end, or a stop is asked for. Returns 0, an enum vu_ops_e or a negative errno. */
int vu_ops_answer(struct vu_ops *ops, const struct vu_answer_options *o,
		  struct vu_supervised_report *ret);
