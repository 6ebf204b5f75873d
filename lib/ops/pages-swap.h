/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `vunify pages --swap` needs besides: the areas of swap, and the reasons why they are not to be read. */
#pragma once

#include <stdbool.h>

#include "mem/swaps.h"
#include "ops/context.h"
#include "ops/ops-pages.h"

/* Are all operands areas of swap that are in use, by whatever name? */
bool vu_pages_swap_areas(const struct vu_pages_options *o, const struct vu_swaps *s);

/*
 * Opens them; with swap_in no area is looked at. Areas that are no operands are skipped where operands are
 * areas. ret is to be given to vu_swaps_close in any case. Results as all of ops.
 */
int vu_pages_swap_open(struct vu_ops *ops, const struct vu_pages_options *o, struct vu_swaps *ret);

/* The kernel numbers the areas in another way than it was taken for. */
int vu_pages_swap_numbers(struct vu_ops *ops);

/* Pages of zeros at most of which the areas looked at have no copy: what was there before is read for them. */
uint64_t vu_pages_swap_zero_unsure(const struct vu_swaps *s);
