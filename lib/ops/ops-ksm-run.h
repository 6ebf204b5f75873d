/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The use-case behind `vunify ksm run`: a command whose memory, and that of all it starts, is opted in to KSM. */
#pragma once

#include <stdbool.h>

#include "ops/context.h"

struct vu_ksm_run_options {
	char *guest;	     /* name or root, or NULL: the command runs here */
	char *const *argv;   /* the command; of a guest `vunify run` runs it */
	char *const *vunify; /* of a guest: how to call `vunify run`, up to the guest's name */
	bool across_domains;
	bool preload; /* by the library, and madvise(2), as for old kernels */
};

/*
 * Executes the command in place of this program, and returns only when that did not work: an enum vu_ops_e or a
 * negative errno with the problem filled; ret_exec is the errno, or 0 where it did not come to that.
 */
int vu_ops_ksm_run(struct vu_ops *ops, const struct vu_ksm_run_options *o, int *ret_exec);
