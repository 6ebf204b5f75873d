/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-scan.h"

struct options {
	struct vu_opt_number jobs;
	bool trust_guests;
	bool full;
};

static const struct vu_opt opts[] = {
	{"jobs", 'j', VU_OPT_NUMBER, "N", NULL, "threads; 0: as many as there are processors",
	 offsetof(struct options, jobs), 0, 1024},
	{"trust-guests", 0, VU_OPT_FLAG, NULL, NULL,
	 "one admin owns all guests: also those whose root could lift the immutable flag",
	 offsetof(struct options, trust_guests)},
	{"full", 0, VU_OPT_FLAG, NULL, NULL, "look at every file, not only at what has changed",
	 offsetof(struct options, full)},
	{0},
};

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;
	struct vu_scan_options so = {
		.roots = ctx->operands,
		.n_roots = ctx->n_operands,
		.dry_run = ctx->dry_run,
		.trust_guests = o->trust_guests,
		.full = o->full,
		.remerge = true,
	};
	struct vu_scan_report report = {0};
	int r, e = vu_report_remerge_columns(ctx);

	if (e)
		return e;
	if (o->jobs.set)
		ctx->config.jobs = (unsigned)o->jobs.value;
	vu_report_begin(ctx);
	r = vu_ops_scan(&ctx->ops, &so, &report);
	vu_report_end(ctx);
	if (!r || r == VU_OPS_CANCELLED)
		e = vu_report_remerge(ctx, &report);
	e = vu_report_result(ctx, r, e, "cannot remerge", report.warnings, report.damages);
	vu_scan_report_done(&report);
	return e;
}

const struct vu_cmd vu_cmd_remerge = {
	.name = "remerge",
	.summary = "Unify again what has changed in guests since the last run",
	.synopsis = "[GUEST...]",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_CATALOG_READ | VU_CMD_DRY_RUN | VU_CMD_JSON |
		 VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
