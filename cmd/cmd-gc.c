/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-gc.h"

struct options {
	bool forget_guests;
};

static const struct vu_opt opts[] = {
	{"forget-guests", 0, VU_OPT_FLAG, NULL, NULL,
	 "also forget guests whose roots are gone from file systems that are mounted",
	 offsetof(struct options, forget_guests)},
	{0},
};

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)

static int report_json(const struct vu_ctx *ctx, const struct vu_gc_report *r)
{
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

	vu_json_count(j, "pools", r->pools);
	vu_json_count(j, "objects", r->objects);
	vu_json_count(j, "objects_removed", r->objects_removed);
	vu_json_count(j, "bytes_freed", r->bytes_freed);
	vu_json_count(j, "objects_busy", r->objects_busy);
	vu_json_count(j, "guests_forgotten", r->guests_forgotten);
	vu_json_count(j, "rows_removed", r->rows_removed);
	vu_json_count(j, "warnings", r->warnings);
	vu_json_count(j, "damages", r->damages);
	vu_json_seconds(j, "seconds", r->seconds);
	return vu_json_print(j, stdout);
}

static int report(const struct vu_ctx *ctx, const struct vu_gc_report *r)
{
	const char *dry = ctx->dry_run ? "would be " : "";
	char size[VU_SIZE_TEXT];

	if (ctx->globals.json)
		return report_json(ctx, r);
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " of %" PRIu64 " objects %sremoved, %s %sfreed; %" PRIu64
	       " rows of the catalog %sremoved\n",
	       r->objects_removed, r->objects, dry, vu_size_text(r->bytes_freed, size), dry,
	       r->rows_removed, dry);
	if (r->guests_forgotten)
		printf("%" PRIu64 " guests %sforgotten: their roots are gone\n",
		       r->guests_forgotten, dry);
	return 0;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *given = options;
	struct vu_gc_options o = {
		.roots = ctx->operands,
		.n_roots = ctx->n_operands,
		.dry_run = ctx->dry_run,
		.forget_guests = given->forget_guests,
	};
	struct vu_gc_report rep = {0};
	int r, e = 0;

	vu_report_begin(ctx);
	r = vu_ops_gc(&ctx->ops, &o, &rep);
	vu_report_end(ctx);
	if (!r || r == VU_OPS_CANCELLED)
		e = report(ctx, &rep);
	return vu_report_result(ctx, r, e, "cannot collect", rep.warnings, rep.damages);
}

const struct vu_cmd vu_cmd_gc = {
	.name = "gc",
	.summary = "Remove objects that no guest has, and rows of the catalog that are gone",
	.synopsis = "[ROOT...]",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_DRY_RUN | VU_CMD_JSON,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
