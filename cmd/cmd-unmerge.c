/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-unmerge.h"

static int run(struct vu_ctx *ctx, void *options)
{
	struct vu_unmerge_options o = {
		.operands = ctx->operands,
		.n = ctx->n_operands,
		.dry_run = ctx->dry_run,
	};
	struct vu_unmerge_report report = {0};
	int r, e = 0;

	(void)options;
	vu_report_begin(ctx);
	r = vu_ops_unmerge(&ctx->ops, &o, &report);
	vu_report_end(ctx);
	if (!r || r == VU_OPS_CANCELLED)
		e = vu_report_unmerge(ctx, &report);
	return vu_report_result(ctx, r, e, "cannot unmerge", report.warnings, report.damages);
}

const struct vu_cmd vu_cmd_unmerge = {
	.name = "unmerge",
	.summary = "Give unified files private copies again",
	.synopsis = "[GUEST|PATH...]",
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_DRY_RUN | VU_CMD_JSON,
	.max_operands = SIZE_MAX,
	.run = run,
};
