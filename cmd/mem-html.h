/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of `vunify mem` that writes a page: --html. */
#pragma once

#include "cmd/cmd.h"
#include "ops/ops-mem.h"

/*
 * Looks at what the page needs besides m, of the operands, and writes it to file (see fs/atomic-file.h), with
 * mode 0600. library: a path in the guests, or NULL for their libc. Returns the exit code.
 */
int vu_mem_html_write(struct vu_ctx *ctx, const struct vu_mem *m, const char *file,
		      const char *library);
