/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-clone.h"

struct options {
	bool trust_guests;
};

static const struct vu_opt opts[] = {
	{"trust-guests", 0, VU_OPT_FLAG, NULL, NULL,
	 "also while the guest could lift the immutable flag: one admin owns all of them",
	 offsetof(struct options, trust_guests)},
	{0},
};

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *given = options;
	struct vu_clone_options o = {
		.guest = ctx->operands[0],
		.new = ctx->operands[1],
		.trust_guests = given->trust_guests,
		.dry_run = ctx->dry_run,
	};
	struct vu_clone_report report;
	int r, e = 0;

	vu_report_begin(ctx);
	r = vu_ops_clone(&ctx->ops, &o, &report);
	vu_report_end(ctx);
	if (!r)
		e = vu_report_clone(ctx, &report);
	r = vu_report_result(ctx, r, e, "cannot clone the guest", report.warnings, report.damages);
	vu_clone_report_done(&report);
	return r;
}

const struct vu_cmd vu_cmd_clone = {
	.name = "clone",
	.summary = "Make a new guest of one, which shares what that shares",
	.synopsis = "GUEST NEW",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_CATALOG_READ | VU_CMD_DRY_RUN | VU_CMD_JSON,
	.options_size = sizeof(struct options),
	.min_operands = 2,
	.max_operands = 2,
	.run = run,
};
