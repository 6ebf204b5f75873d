/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-scan.h"

struct options {
	int mtime;
	int mode;
	struct vu_opt_number jobs;
	struct vu_opt_number min_size;
	bool trust_guests;
	bool full;
};

static const struct vu_opt opts[] = {
	{"mtime", 0, VU_OPT_CHOICE, "WHEN", "exact|ignore",
	 "whether files must have the same modification time", offsetof(struct options, mtime)},
	{"mode", 0, VU_OPT_CHOICE, "HOW", "link|reflink",
	 "share inodes (disk and memory), or only extents (disk; XFS and btrfs)",
	 offsetof(struct options, mode)},
	{"jobs", 'j', VU_OPT_NUMBER, "N", NULL, "threads; 0: as many as there are processors",
	 offsetof(struct options, jobs), 0, 1024},
	{"min-size", 0, VU_OPT_SIZE, "SIZE", NULL, "leave smaller files alone",
	 offsetof(struct options, min_size)},
	{"trust-guests", 0, VU_OPT_FLAG, NULL, NULL,
	 "one admin owns all guests: also those whose root could lift the immutable flag",
	 offsetof(struct options, trust_guests)},
	{"full", 0, VU_OPT_FLAG, NULL, NULL, "look at every file, whatever the catalog says",
	 offsetof(struct options, full)},
	{0},
};

/* Options of the command line over the configuration. */
static void configure(struct vu_config *c, const struct options *o)
{
	if (o->mtime)
		c->mtime_exact = o->mtime == 1;
	if (o->mode)
		c->mode = o->mode == 1 ? VU_MODE_LINK : VU_MODE_REFLINK;
	if (o->jobs.set)
		c->jobs = (unsigned)o->jobs.value;
	if (o->min_size.set)
		c->min_size = o->min_size.value;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;
	struct vu_scan_options so = {
		.roots = ctx->operands,
		.n_roots = ctx->n_operands,
		.dry_run = ctx->dry_run,
		.trust_guests = o->trust_guests,
		.full = o->full,
	};
	struct vu_scan_report report = {0};
	int r, e = vu_report_scan_columns(ctx);

	if (e)
		return e;
	configure(&ctx->config, o);
	vu_report_begin(ctx);
	r = vu_ops_scan(&ctx->ops, &so, &report);
	vu_report_end(ctx);
	if (!r || r == VU_OPS_CANCELLED)
		e = vu_report_scan(ctx, &report);
	e = vu_report_result(ctx, r, e, "cannot scan", report.warnings, report.damages);
	vu_scan_report_done(&report);
	return e;
}

const struct vu_cmd vu_cmd_scan = {
	.name = "scan",
	.summary = "Unify the identical files of guests",
	.synopsis = "[ROOT...]",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_CATALOG_WRITE | VU_CMD_DRY_RUN |
		 VU_CMD_JSON | VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
