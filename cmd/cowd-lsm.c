/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/cowd-lsm.h"

#include <stdint.h>
#include <stdio.h>

#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-guard.h"

static void ready(void *arg, const struct vu_guard_report *r)
{
	const struct vu_ctx *ctx = arg;

	if (ctx->globals.quiet)
		return;
	printf("guarding %llu objects in %zu pools", (unsigned long long)r->guarded, r->pools);
	if (r->flagged + r->full)
		printf("; %llu keep their immutable flag",
		       (unsigned long long)(r->flagged + r->full));
	if (r->copies)
		fputs("; who opens one for writing gets a private copy", stdout);
	putchar('\n');
	fflush(stdout);
}

int vu_cowd_lsm_run(struct vu_ctx *ctx, const struct vu_cowd_lsm *given, char **command, size_t n)
{
	struct vu_guard_options o = {
		.pools = (char **)(uintptr_t)given->pools.v,
		.n_pools = given->pools.n,
		.stays = given->stays,
		.off = given->off,
		.command = given->no_copies ? NULL : command,
		.n_command = n,
		.ready = ready,
		.arg = ctx,
	};
	struct vu_guard_report report;
	int r;

	ctx->globals.no_progress = true; /* it goes on for ever */
	vu_report_begin(ctx);
	r = vu_ops_guard(&ctx->ops, &o, &report);
	vu_report_end(ctx);
	return r ? vu_message_result(ctx, r, "cannot guard objects") : VU_EXIT_DONE;
}
