/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "model/size.h"
#include "ops/ops-remove.h"

struct options {
	bool yes;
};

static const struct vu_opt opts[] = {
	{"yes", 'y', VU_OPT_FLAG, NULL, NULL, "do not ask", offsetof(struct options, yes)},
	{0},
};

static bool ask(void *arg, const struct vu_remove_report *r)
{
	struct vu_ctx *ctx = arg;
	bool utf8 = vu_escape_locale_utf8();
	_cleanup_free_ char *guest = vu_escape(r->guest, utf8), *path = vu_escape(r->path, utf8);
	char size[VU_SIZE_TEXT], answer[16] = "";

	vu_progress_line_hide(ctx->line);
	fprintf(stderr,
		"%s (%s) has %" PRIu64 " shared files, %" PRIu64
		" others (%s of its own) and %" PRIu64
		" directories.\nRemove all of it, for ever? [y/N] ",
		guest ? guest : "", path ? path : "", r->names, r->files,
		vu_size_text(r->private_bytes, size), r->dirs);
	fflush(stderr);
	bool yes = fgets(answer, sizeof(answer), stdin) &&
		   (!strcmp(answer, "y\n") || !strcmp(answer, "yes\n") || !strcmp(answer, "Y\n"));

	vu_progress_line_show(ctx->line);
	return yes;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *given = options;
	struct vu_remove_options o = {
		.guest = ctx->operands[0],
		.dry_run = ctx->dry_run,
		.confirm = given->yes ? NULL : ask,
		.arg = ctx,
	};
	struct vu_remove_report report;
	int r, e = 0;

	if (!given->yes && !ctx->dry_run && (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))) {
		vu_message(ctx, "cannot ask", "remove", "there is no terminal",
			   "say -y (--yes) if the guest is to be removed for ever");
		return VU_EXIT_USAGE;
	}
	vu_report_begin(ctx);
	r = vu_ops_remove(&ctx->ops, &o, &report);
	vu_report_end(ctx);
	if (!r)
		e = vu_report_remove(ctx, &report);
	r = vu_report_result(ctx, r, e, "cannot remove the guest", report.warnings, report.damages);
	vu_remove_report_done(&report);
	return r;
}

const struct vu_cmd vu_cmd_remove = {
	.name = "remove",
	.summary = "Delete a guest and all that is in it",
	.synopsis = "GUEST",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_CATALOG_READ | VU_CMD_DRY_RUN | VU_CMD_JSON,
	.options_size = sizeof(struct options),
	.min_operands = 1,
	.max_operands = 1,
	.run = run,
};
