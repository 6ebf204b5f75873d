/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-doctor.h"

static const struct vu_column columns[] = {
	{"RESULT", "result", VU_COLUMN_TEXT, false}, {"CHECK", "check", VU_COLUMN_TEXT, false},
	{"ON", "on", VU_COLUMN_NAME, false},	     {"FINDING", "finding", VU_COLUMN_NAME, false},
	{"REMEDY", "remedy", VU_COLUMN_NAME, false}, {0},
};

static void row(struct vu_printer *p, const struct vu_finding *f)
{
	static const char *const levels[] = {
		[VU_FINDING_OK] = "OK", [VU_FINDING_WARN] = "WARN", [VU_FINDING_FAIL] = "FAIL"};
	const struct vu_cell cells[] = {
		{.s = levels[f->level]},	  {.s = f->check},
		{.s = f->on, .none = !f->on},	  {.s = f->says},
		{.s = f->todo, .none = !f->todo},
	};

	vu_printer_row(p, cells);
}

static int run(struct vu_ctx *ctx, void *options)
{
	struct vu_findings f = {0};
	struct vu_printer *p = NULL;
	int r, e = vu_report_printer(ctx, "findings", columns, &p);

	(void)options;
	if (e)
		return e;
	r = vu_ops_doctor(&ctx->ops, ctx->operands, ctx->n_operands, &f);
	if (r) {
		vu_printer_free(p);
		vu_findings_done(&f);
		return vu_message_result(ctx, r, "cannot look");
	}
	for (size_t i = 0; i < f.n; i++)
		row(p, &f.v[i]);
	e = vu_report_print_consume(ctx, p);
	if (!e && f.n_fail)
		e = VU_EXIT_REFUSED;
	vu_findings_done(&f);
	return e;
}

const struct vu_cmd vu_cmd_doctor = {
	.name = "doctor",
	.summary = "Check the host, the file systems and the guests, and say what helps",
	.synopsis = "[GUEST...]",
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_TABLE,
	.max_operands = SIZE_MAX,
	.run = run,
};
