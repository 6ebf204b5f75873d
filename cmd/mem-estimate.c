/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/mem-estimate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-scan.h"

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)
VU_DEFINE_CLEANUP(struct vu_printer *, vu_printer_free)

static const struct vu_column columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"RESIDENT", "resident_bytes", VU_COLUMN_SIZE, false},
	{"AT-ONCE", "freed_now_bytes", VU_COLUMN_SIZE, false},
	{"IN-THE-END", "freed_bytes", VU_COLUMN_SIZE, false},
	{0},
};

static const struct vu_column group_columns[] = {
	{"LARGEST", "path", VU_COLUMN_NAME, false},
	{"COPIES", "copies", VU_COLUMN_COUNT, false},
	{"RESIDENT", "resident_bytes", VU_COLUMN_SIZE, false},
	{"AT-ONCE", "freed_now_bytes", VU_COLUMN_SIZE, false},
	{"IN-THE-END", "freed_bytes", VU_COLUMN_SIZE, false},
	{0},
};

/* ---- JSON ---- */

static struct vu_json *sum_json(const struct vu_estimate_sum *s)
{
	struct vu_json *j = vu_json_new();

	vu_json_count(j, "resident_bytes", s->resident);
	vu_json_count(j, "freed_now_bytes", s->now);
	vu_json_count(j, "freed_bytes", s->all);
	return j;
}

static int print_json(const struct vu_scan_report *r)
{
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_json_new();
	const struct vu_estimate_report *m = &r->memory;

	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_array(j, "guests");
	for (size_t i = 0; m->guests && i < r->n_guests; i++) {
		struct vu_json *g = sum_json(&m->guests[i]);

		vu_json_name(g, "guest", r->guests[i].name);
		vu_json_name(g, "path", r->guests[i].path);
		vu_json_append(j, "guests", g);
	}
	vu_json_put(j, "total", sum_json(&m->total));
	vu_json_array(j, "groups");
	for (size_t i = 0; i < m->n_groups; i++) {
		struct vu_json *g = sum_json(&m->group[i].sum);

		vu_json_name(g, "guest", m->group[i].guest);
		vu_json_name(g, "path", m->group[i].path);
		vu_json_count(g, "copies", m->group[i].copies);
		vu_json_append(j, "groups", g);
	}
	vu_json_count(j, "files_unknown", m->unknown);
	return vu_json_print(j, stdout);
}

/* ---- tables ---- */

static int guests_table(const struct vu_ctx *ctx, const struct vu_scan_report *r)
{
	const struct vu_printer_options o = {.out = stdout, .no_legend = ctx->globals.no_legend};
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;
	const struct vu_estimate_report *m = &r->memory;
	_cleanup_free_ char *bad = NULL;
	int e = vu_printer_new(&o, "guests", columns, &p, &bad);

	if (e)
		return e;
	for (size_t i = 0; i < r->n_guests; i++) {
		const struct vu_estimate_sum none = {0}, *s = m->guests ? &m->guests[i] : &none;

		vu_printer_row(p, (const struct vu_cell[]){{.s = r->guests[i].name},
							   {.u = s->resident},
							   {.u = s->now},
							   {.u = s->all}});
	}
	vu_printer_total(p, (const struct vu_cell[]){{.s = "total"},
						     {.u = m->total.resident},
						     {.u = m->total.now},
						     {.u = m->total.all}});
	return vu_printer_end(p);
}

static int groups_table(const struct vu_ctx *ctx, const struct vu_estimate_report *m)
{
	const struct vu_printer_options o = {.out = stdout, .no_legend = ctx->globals.no_legend};
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;
	_cleanup_free_ char *bad = NULL;
	int e = m->n_groups ? vu_printer_new(&o, "groups", group_columns, &p, &bad) : 0;

	if (e || !p)
		return e;
	putchar('\n');
	for (size_t i = 0; i < m->n_groups; i++) {
		const struct vu_estimate_group *g = &m->group[i];

		vu_printer_row(p, (const struct vu_cell[]){{.s = g->path},
							   {.u = g->copies},
							   {.u = g->sum.resident},
							   {.u = g->sum.now},
							   {.u = g->sum.all}});
	}
	return vu_printer_end(p);
}

static int print_text(struct vu_ctx *ctx, const struct vu_scan_report *r)
{
	int e = guests_table(ctx, r);
	char why[64];

	e = e ? e : groups_table(ctx, &r->memory);
	if (!e && r->memory.unknown) {
		snprintf(why, sizeof(why), "%" PRIu64 " files could not be asked",
			 r->memory.unknown);
		vu_message(ctx, "note", NULL, why, "what of them is in memory is unknown");
	}
	return e;
}

/* ---- */

/* One answer on stdout, not an event a line. */
static void on_event(void *arg, const struct vu_event *e)
{
	if (e->kind == VU_EVENT_WARN || e->kind == VU_EVENT_DAMAGE)
		vu_message_event(arg, e);
}

int vu_mem_estimate_run(struct vu_ctx *ctx)
{
	/* nobody is unified, whoever could undo it */
	const struct vu_scan_options so = {.roots = ctx->operands,
					   .n_roots = ctx->n_operands,
					   .dry_run = true,
					   .estimate = true,
					   .trust_guests = true};
	struct vu_scan_report r = {0};
	int e;

	ctx->config.mode = VU_MODE_LINK;
	vu_report_begin(ctx);
	ctx->sink = (struct vu_sink){.fn = on_event, .arg = ctx};
	ctx->ops.per_file = false;
	e = vu_ops_scan(&ctx->ops, &so, &r);
	vu_report_end(ctx);
	if (e) {
		e = vu_message_result(ctx, e, "cannot estimate");
	} else {
		e = ctx->globals.json ? print_json(&r) : print_text(ctx, &r);
		e = e ? vu_message_result(ctx, e, "cannot print the result")
		      : vu_report_exit(r.warnings, r.damages);
	}
	vu_scan_report_done(&r);
	return e;
}
