/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One container's calls, answered until nobody is under its filter any more: what `vunify cowd` has a process of its
 * own for. Finds out which guest it is; while it is none (or cannot be served), the kernel goes on with every
 * call: then the immutable flag refuses what would change a unified file.
 */
#pragma once

#include "cow/kept.h"
#include "ops/context.h"
#include "ops/supervised-guest.h"

struct vu_serve_options {
	int listener;	      /* borrowed; or a connection of LXC's monitor (cow/notify.h) */
	struct vu_kept *kept; /* borrowed; the caller has its lock */
};

/*
 * Returns 0 when the container has ended, VU_OPS_CANCELLED when a stop was asked for: the calls at hand are
 * answered then, and whoever has the listener goes on; or a negative errno with the problem filled. The report is
 * written in any case.
 */
int vu_ops_serve(struct vu_ops *ops, const struct vu_serve_options *o,
		 struct vu_supervised_report *ret);
