/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-status.h"

static const struct vu_column columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"FILES", "files", VU_COLUMN_COUNT, false},
	{"UNIFIED", "unified", VU_COLUMN_COUNT, false},
	{"PRIVATE", "private", VU_COLUMN_COUNT, false},
	{"PENDING", "pending", VU_COLUMN_COUNT, false},
	{"BROKEN", "broken", VU_COLUMN_COUNT, false},
	{"DAMAGED", "damaged", VU_COLUMN_COUNT, false},
	{"LAST-RUN", "last_run", VU_COLUMN_TIME, false},
	{"DOMAIN", "domain", VU_COLUMN_NAME, true},
	{"PATH", "path", VU_COLUMN_NAME, true},
	{0},
};

static void row(struct vu_printer *p, const struct vu_status_guest *g, bool total)
{
	const struct vu_cell cells[] = {
		{.s = total ? "total" : g->name},
		{.u = g->files},
		{.u = g->unified},
		{.u = g->private_names},
		{.u = g->pending},
		{.u = g->broken},
		{.u = g->damaged},
		{.u = g->last_run_ns},
		{.s = g->domain, .none = total},
		{.s = g->path, .none = total},
	};

	if (total)
		vu_printer_total(p, cells);
	else
		vu_printer_row(p, cells);
}

static int run(struct vu_ctx *ctx, void *options)
{
	struct vu_status s = {0};
	struct vu_printer *p = NULL;
	int r, e = vu_report_printer(ctx, "guests", columns, &p);

	(void)options;
	if (e)
		return e;
	r = vu_ops_status(&ctx->ops, ctx->operands, ctx->n_operands, &s);
	if (r) {
		vu_printer_free(p);
		return vu_message_result(ctx, r, "cannot show the status");
	}
	for (size_t i = 0; i < s.n_guests; i++)
		row(p, &s.guests[i], false);
	row(p, &s.total, true);
	e = vu_report_print_consume(ctx, p);
	if (!e && s.total.damaged) {
		vu_message(ctx, "status", NULL, "names of damaged objects were found",
			   "run 'vunify recover', and 'vunify unmerge' what stays damaged");
		e = VU_EXIT_DAMAGE;
	}
	vu_status_done(&s);
	return e;
}

const struct vu_cmd vu_cmd_status = {
	.name = "status",
	.summary = "Show what is unified in each guest",
	.synopsis = "[GUEST...]",
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON | VU_CMD_TABLE,
	.max_operands = SIZE_MAX,
	.run = run,
};
