/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-template.h"

static const struct vu_column columns[] = {
	{"TEMPLATE", "template", VU_COLUMN_NAME, false},
	{"PATH", "path", VU_COLUMN_NAME, false},
	{"DOMAIN", "domain", VU_COLUMN_NAME, false},
	{"FOLLOWERS", "followers", VU_COLUMN_COUNT, false},
	{"FILES", "files", VU_COLUMN_COUNT, false},
	{"CHANGED", "changed", VU_COLUMN_COUNT, false},
	{"NOTED", "noted", VU_COLUMN_TIME, false},
	{0},
};

static void row(struct vu_printer *p, const struct vu_template *t)
{
	const struct vu_cell cells[] = {
		{.s = t->guest.name},	 {.s = t->guest.path}, {.s = t->guest.domain},
		{.u = t->followers},	 {.u = t->note.files}, {.u = t->note.changed},
		{.u = t->note.noted_ns},
	};

	vu_printer_row(p, cells);
}

/* Prints the templates that something was done to, and frees them. */
static int print_consume(struct vu_ctx *ctx, struct vu_templates *t)
{
	struct vu_printer *p = NULL;
	int e = vu_report_printer(ctx, "templates", columns, &p);

	for (size_t i = 0; !e && i < t->n; i++)
		row(p, &t->v[i]);
	if (!e)
		e = vu_report_print_consume(ctx, p);
	vu_templates_done(t);
	return e;
}

/* A wrong --columns must show before anything is done. */
static int check_columns(struct vu_ctx *ctx)
{
	struct vu_printer *p = NULL;
	int e = vu_report_printer(ctx, "templates", columns, &p);

	vu_printer_free(p);
	return e;
}

static int list_run(struct vu_ctx *ctx, void *options)
{
	struct vu_templates t = {0};
	int e = check_columns(ctx);

	(void)options;
	if (e)
		return e;
	int r = vu_ops_template_list(&ctx->ops, &t);

	return r ? vu_message_result(ctx, r, "cannot list the templates") : print_consume(ctx, &t);
}

/* Events would stand between the rows: only warnings are told, on stderr. */
static void tell(void *arg, const struct vu_event *e)
{
	if (e->kind == VU_EVENT_WARN || e->kind == VU_EVENT_DAMAGE)
		vu_message_event(arg, e);
}

static int add_run(struct vu_ctx *ctx, void *options)
{
	struct vu_templates t = {0};
	int e = check_columns(ctx);

	(void)options;
	if (e)
		return e;
	vu_report_begin(ctx);
	ctx->ops.per_file = false;
	ctx->sink = (struct vu_sink){.fn = tell, .arg = ctx};
	int r = vu_ops_template_add(&ctx->ops, ctx->operands[0], &t);

	vu_report_end(ctx);
	if (r)
		return vu_message_result(ctx, r, "cannot add the template");
	int warned = vu_report_exit(t.warnings, 0);

	if (ctx->globals.quiet && !ctx->globals.json)
		vu_templates_done(&t);
	else
		e = print_consume(ctx, &t);
	return e ? e : warned;
}

static int remove_run(struct vu_ctx *ctx, void *options)
{
	struct vu_templates t = {0};
	int e = check_columns(ctx);

	(void)options;
	if (e)
		return e;
	int r = vu_ops_template_remove(&ctx->ops, ctx->operands[0], &t);

	if (r)
		return vu_message_result(ctx, r, "cannot remove the template");
	if (!ctx->globals.quiet || ctx->globals.json)
		return print_consume(ctx, &t);
	vu_templates_done(&t);
	return VU_EXIT_DONE;
}

static const struct vu_cmd cmd_list = {
	.name = "template list",
	.summary = "List the templates",
	.synopsis = "",
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON | VU_CMD_TABLE,
	.run = list_run,
};

static const struct vu_cmd cmd_add = {
	.name = "template add",
	.summary = "Make a guest a template, and note what it has",
	.synopsis = "GUEST",
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON | VU_CMD_TABLE,
	.min_operands = 1,
	.max_operands = 1,
	.run = add_run,
};

static const struct vu_cmd cmd_remove = {
	.name = "template remove",
	.summary = "Make a template a guest like others",
	.synopsis = "GUEST",
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON | VU_CMD_TABLE,
	.min_operands = 1,
	.max_operands = 1,
	.run = remove_run,
};

static const struct vu_cmd *const subs[] = {&cmd_list, &cmd_add, &cmd_remove, NULL};

const struct vu_cmd vu_cmd_template = {
	.name = "template",
	.summary = "List the guests that others follow, add or remove one",
	.synopsis = "[list|add|remove]",
	.subs = subs,
};
