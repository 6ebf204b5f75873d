/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-df.h"

static const struct vu_column columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"SIZE", "size_bytes", VU_COLUMN_SIZE, false},
	{"SHARED", "shared_bytes", VU_COLUMN_SIZE, false},
	{"UNIQUE", "unique_bytes", VU_COLUMN_SIZE, false},
	{"SAVED", "saved_bytes", VU_COLUMN_SIZE, false},
	{"PATH", "path", VU_COLUMN_NAME, true},
	{0},
};

static void row(struct vu_printer *p, const struct vu_df_guest *g, bool total)
{
	const struct vu_cell cells[] = {
		{.s = total ? "total" : g->name},
		{.u = g->size_bytes},
		{.u = g->shared_bytes},
		{.u = g->unique_bytes},
		{.u = g->saved_bytes},
		{.s = g->path, .none = total},
	};

	if (total)
		vu_printer_total(p, cells);
	else
		vu_printer_row(p, cells);
}

static int run(struct vu_ctx *ctx, void *options)
{
	struct vu_df df = {0};
	struct vu_printer *p = NULL;
	int r, e = vu_report_printer(ctx, "guests", columns, &p);

	(void)options;
	if (e)
		return e;
	r = vu_ops_df(&ctx->ops, ctx->operands, ctx->n_operands, &df);
	if (r) {
		vu_printer_free(p);
		return vu_message_result(ctx, r, "cannot show the disk usage");
	}
	for (size_t i = 0; i < df.n_guests; i++)
		row(p, &df.guests[i], false);
	row(p, &df.total, true);
	e = vu_report_print_consume(ctx, p);
	vu_df_done(&df);
	return e;
}

const struct vu_cmd vu_cmd_df = {
	.name = "df",
	.summary = "Show what guests occupy on the disk and what sharing saves",
	.synopsis = "[GUEST...]",
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON | VU_CMD_TABLE,
	.max_operands = SIZE_MAX,
	.run = run,
};
