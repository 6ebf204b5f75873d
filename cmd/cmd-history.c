/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-history.h"

struct options {
	struct vu_opt_number limit;
};

static const struct vu_opt opts[] = {
	{"limit", 0, VU_OPT_NUMBER, "N", NULL, "show the newest N runs only (default 20; 0: all)",
	 offsetof(struct options, limit), 0, UINT32_MAX},
	{0},
};

static const struct vu_column columns[] = {
	{"RUN", "run", VU_COLUMN_COUNT, false},
	{"COMMAND", "command", VU_COLUMN_TEXT, false},
	{"STARTED", "started", VU_COLUMN_TIME, false},
	{"TIME", "seconds", VU_COLUMN_SECONDS, false},
	{"GUESTS", "guests", VU_COLUMN_COUNT, false},
	{"FILES", "files", VU_COLUMN_COUNT, false},
	{"NAMES", "names", VU_COLUMN_COUNT, false},
	{"SAVED", "saved_bytes", VU_COLUMN_SIZE, false},
	{"RESULT", "result", VU_COLUMN_TEXT, false},
	{"WARNINGS", "warnings", VU_COLUMN_COUNT, true},
	{"DRY-RUN", "dry_run", VU_COLUMN_BOOL, false},
	{0},
};

static void row(struct vu_printer *p, const struct vu_history_run *h)
{
	const struct vu_cell cells[] = {
		{.u = h->id},	  {.s = h->verb},     {.u = h->started_ns}, {.d = h->seconds},
		{.u = h->guests}, {.u = h->files},    {.u = h->names},	    {.u = h->saved_bytes},
		{.s = h->result}, {.u = h->warnings}, {.u = h->dry_run},
	};

	vu_printer_row(p, cells);
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;
	struct vu_history h = {0};
	struct vu_printer *p = NULL;
	int r, e = vu_report_printer(ctx, "runs", columns, &p);

	if (e)
		return e;
	r = vu_ops_history(&ctx->ops, o->limit.set ? o->limit.value : 20, &h);
	if (r) {
		vu_printer_free(p);
		return vu_message_result(ctx, r, "cannot show the history");
	}
	for (size_t i = 0; i < h.n_runs; i++)
		row(p, &h.runs[i]);
	e = vu_report_print_consume(ctx, p);
	vu_history_done(&h);
	return e;
}

const struct vu_cmd vu_cmd_history = {
	.name = "history",
	.summary = "Show the runs so far",
	.synopsis = "",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON | VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.run = run,
};
