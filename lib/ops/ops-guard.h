/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `vunify cowd --lsm`: objects are under the guard (lsm/lsm.h) instead of the immutable flag, so that guests which
 * nobody supervises can remove and replace their names. What it promises does not hang on this process: it is there
 * for objects that are new, and for the way back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/context.h"

struct vu_guard_report {
	size_t pools;
	uint64_t guarded; /* objects that have a mark and no flag */
	uint64_t flagged; /* objects that keep their flag for now */
	uint64_t full;	  /* objects that keep it for want of room for marks */
	bool copies; /* who opens an object for writing gets a private copy (Linux 6.9 and later) */
};

struct vu_guard_options {
	char **pools; /* borrowed; mount points; none: those of the registered guests */
	size_t n_pools;
	bool stays; /* at the end the guard stays in force, for the next one to take over */
	/*
	 * Borrowed: the command that makes a guest's copies (ops/ops-answer.h), without the guest: n_command
	 * arguments, and room for one more and a NULL. NULL: no copies are made.
	 */
	char **command;
	size_t n_command;
	bool off; /* only the way back: of a guard that was left in force */
	/* Called once, when all objects that there are were seen to. */
	void (*ready)(void *arg, const struct vu_guard_report *r);
	void *arg;
};

/*
 * Until a stop is asked for. Returns 0; VU_OPS_REFUSED where the kernel or a file system cannot; another enum vu_ops_e;
 * or a negative errno. ret_report is written in any case.
 */
int vu_ops_guard(struct vu_ops *ops, const struct vu_guard_options *o,
		 struct vu_guard_report *ret_report);
