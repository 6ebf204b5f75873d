/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-recover.h"

struct options {
	bool rebuild_catalog;
};

static const struct vu_opt opts[] = {
	{"rebuild-catalog", 0, VU_OPT_FLAG, NULL, NULL,
	 "make a new catalog first, with the guests of the old one, which is set aside",
	 offsetof(struct options, rebuild_catalog)},
	{0},
};

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *given = options;
	struct vu_recover_options o = {
		.rebuild_catalog = given->rebuild_catalog,
		.roots = ctx->operands,
		.n_roots = ctx->n_operands,
		.dry_run = ctx->dry_run,
	};
	struct vu_recover_report report = {0};
	int r, e = 0;

	vu_report_begin(ctx);
	r = vu_ops_recover(&ctx->ops, &o, &report);
	vu_report_end(ctx);
	if (!r || r == VU_OPS_CANCELLED)
		e = vu_report_recover(ctx, &report);
	return vu_report_result(ctx, r, e, "cannot recover", report.warnings, report.damages);
}

const struct vu_cmd vu_cmd_recover = {
	.name = "recover",
	.summary = "Put right what a crash left behind",
	.synopsis = "[ROOT...]",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_DRY_RUN | VU_CMD_JSON,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
