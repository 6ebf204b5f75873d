/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-export.h"

struct options {
	const char *output;
	int compress;
};

static const struct vu_opt opts[] = {
	{"output", 'o', VU_OPT_STRING, "FILE", NULL,
	 "write the archive to this file, at once when it is complete",
	 offsetof(struct options, output)},
	{"compress", 0, VU_OPT_CHOICE, "HOW", "zstd|xz|gzip|none",
	 "how the archive is compressed; zstd if not given", offsetof(struct options, compress)},
	{0},
};

/* The archive goes to stdout, unless it would go to a terminal, or to where something else goes. */
static int check_output(struct vu_ctx *ctx, const struct options *o)
{
	bool to_stdout = !o->output || !strcmp(o->output, "-");

	if (to_stdout && isatty(STDOUT_FILENO)) {
		vu_message(ctx, "export", NULL, "an archive is not for a terminal",
			   "name a file by -o, or send the output elsewhere");
		return VU_EXIT_USAGE;
	}
	if (to_stdout && (ctx->globals.json || ctx->globals.verbose)) {
		vu_message(ctx, "export", NULL, "the archive goes where the report would go",
			   "name a file by -o");
		return VU_EXIT_USAGE;
	}
	return 0;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;
	struct vu_export_options eo = {
		.guest = ctx->operands[0],
		.file = o->output,
		.fd = STDOUT_FILENO,
		.compress = o->compress ? (enum vu_compress)(o->compress - 1) : VU_COMPRESS_ZSTD,
	};
	struct vu_export_report report;
	int e = check_output(ctx, o), r;

	if (e)
		return e;
	vu_report_begin(ctx);
	r = vu_ops_export(&ctx->ops, &eo, &report);
	vu_report_end(ctx);
	if (!r && o->output && strcmp(o->output, "-") != 0)
		e = vu_report_export(ctx, &report);
	return vu_report_result(ctx, r, e, "cannot export", report.warnings, 0);
}

const struct vu_cmd vu_cmd_export = {
	.name = "export",
	.summary = "Write a guest as a tar archive",
	.synopsis = "GUEST",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_JSON,
	.options_size = sizeof(struct options),
	.min_operands = 1,
	.max_operands = 1,
	.run = run,
};
