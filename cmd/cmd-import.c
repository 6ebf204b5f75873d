/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-import.h"

struct options {
	const char *in;
	const char *domain;
	bool devices;
	bool setid;
};

static const struct vu_opt opts[] = {
	{"in", 0, VU_OPT_STRING, "DIR", NULL, "make the guest NAME in this directory",
	 offsetof(struct options, in)},
	{"domain", 0, VU_OPT_STRING, "DOMAIN", NULL,
	 "share only with guests of this domain; empty: the default one",
	 offsetof(struct options, domain)},
	{"devices", 0, VU_OPT_FLAG, NULL, NULL, "make the device nodes that the archive has",
	 offsetof(struct options, devices)},
	{"setid", 0, VU_OPT_FLAG, NULL, NULL, "keep set-id bits and file capabilities",
	 offsetof(struct options, setid)},
	{0},
};

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *given = options;
	struct vu_import_options o = {
		.from = ctx->operands[0],
		.name = ctx->operands[1],
		.in = given->in,
		.domain = given->domain,
		.devices = given->devices,
		.setid = given->setid,
		.dry_run = ctx->dry_run,
	};
	struct vu_import_report report;
	int r, e = 0;

	vu_report_begin(ctx);
	r = vu_ops_import(&ctx->ops, &o, &report);
	vu_report_end(ctx);
	if (!r)
		e = vu_report_import(ctx, &report);
	r = vu_report_result(ctx, r, e, "cannot import", report.warnings, report.damages);
	vu_import_report_done(&report);
	return r;
}

const struct vu_cmd vu_cmd_import = {
	.name = "import",
	.summary = "Make a guest from a tar archive or an OCI image",
	.synopsis = "FILE|oci:DIR[:TAG] NAME",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_CATALOG_WRITE | VU_CMD_DRY_RUN | VU_CMD_JSON,
	.options_size = sizeof(struct options),
	.min_operands = 2,
	.max_operands = 2,
	.run = run,
};
