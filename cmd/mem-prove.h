/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of `vunify mem` that compares the physical pages of files: --prove. */
#pragma once

#include "cmd/cmd.h"

/* Of the operands, which are paths. Returns the exit code. */
int vu_mem_prove_run(struct vu_ctx *ctx);

/* Says that what cannot be done without the numbers of physical pages. */
void vu_mem_say_hidden(struct vu_ctx *ctx, const char *what);
