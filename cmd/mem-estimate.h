/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of `vunify mem` that says what unifying would free: --estimate. */
#pragma once

#include "cmd/cmd.h"

/* Of the operands, which are roots or guests; none: of the registered guests. Returns the exit code. */
int vu_mem_estimate_run(struct vu_ctx *ctx);
