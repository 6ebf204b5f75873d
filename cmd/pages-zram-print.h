/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints what `vunify pages --swap` found in zram devices. */
#pragma once

#include "cmd/cmd.h"
#include "ops/ops-pages.h"

/* Prints a table, or JSON. Returns an exit code. */
int vu_pages_zram_print(struct vu_ctx *ctx, const struct vu_pages_report *r);
