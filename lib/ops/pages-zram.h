/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vunify pages --swap` of zram devices: what merging equal pages would save of their memory, and the proof. */
#pragma once

#include <stdbool.h>

#include "ops/context.h"
#include "ops/ops-pages.h"

/* Are all operands zram devices? */
bool vu_pages_are_zram(const struct vu_pages_options *o);

/* Fills ret->zram, one for each operand, in order. Results as all of ops. */
int vu_pages_zram(struct vu_ops *ops, const struct vu_pages_options *o, uint64_t max_memory,
		  struct vu_pages_report *ret);
