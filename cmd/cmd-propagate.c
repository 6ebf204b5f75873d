/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-propagate.h"

struct options {
	const char *template;
	bool trust_guests;
};

static const struct vu_opt opts[] = {
	{"template", 0, VU_OPT_STRING, "GUEST", NULL, "propagate only what this template leads to",
	 offsetof(struct options, template)},
	{"trust-guests", 0, VU_OPT_FLAG, NULL, NULL,
	 "one admin owns all guests: also those whose root could lift the immutable flag",
	 offsetof(struct options, trust_guests)},
	{0},
};

static const struct vu_column columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"PROPAGATED", "propagated", VU_COLUMN_COUNT, false},
	{"SIZE", "bytes", VU_COLUMN_SIZE, false},
	{"SAME", "same", VU_COLUMN_COUNT, false},
	{"LEFT", "left", VU_COLUMN_COUNT, false},
	{"PATH", "path", VU_COLUMN_NAME, true},
	{0},
};

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)
VU_DEFINE_CLEANUP(struct vu_printer *, vu_printer_free)

static void row(struct vu_printer *p, const struct vu_propagate_guest *g)
{
	const struct vu_cell cells[] = {
		{.s = g->name ? g->name : "total"},
		{.u = g->followed},
		{.u = g->followed_bytes},
		{.u = g->same},
		{.u = g->left},
		{.s = g->path ? g->path : ""},
	};

	if (g->name)
		vu_printer_row(p, cells);
	else
		vu_printer_total(p, cells);
}

static int print_guests(struct vu_ctx *ctx, const struct vu_propagate_report *r)
{
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;
	int e = vu_report_printer(ctx, "guests", columns, &p);

	if (e)
		return e;
	for (size_t i = 0; i < r->n_guests; i++)
		row(p, &r->guests[i]);
	row(p, &r->total);
	return vu_printer_end(p);
}

/* The i-th reason, those of scan behind those of propagate: how many, the word and the sentence. */
static uint64_t reason(const struct vu_propagate_report *r, int i, const char **name,
		       const char **text)
{
	if (i < VU_FOLLOW_N) {
		*name = vu_follow_name((enum vu_follow)i);
		*text = vu_follow_text((enum vu_follow)i);
		return i == VU_FOLLOW_SKIP ? 0 : r->why[i];
	}
	*name = vu_skip_name((enum vu_skip)(i - VU_FOLLOW_N));
	*text = vu_skip_text((enum vu_skip)(i - VU_FOLLOW_N));
	return r->skips[i - VU_FOLLOW_N];
}

static int print_reasons(const struct vu_ctx *ctx, const struct vu_propagate_report *r)
{
	static const struct vu_column why[] = {
		{"LEFT", "left", VU_COLUMN_TEXT, false},
		{"FILES", "files", VU_COLUMN_COUNT, false},
		{"WHY", "why", VU_COLUMN_TEXT, false},
		{0},
	};
	struct vu_printer_options o = {.out = stdout, .no_legend = ctx->globals.no_legend};
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;
	_cleanup_free_ char *bad = NULL;
	int e = vu_printer_new(&o, "left", why, &p, &bad);

	if (e || !r->total.left)
		return e;
	for (int i = 0; i < VU_FOLLOW_N + VU_SKIP_N; i++) {
		const char *name, *text;
		uint64_t n = reason(r, i, &name, &text);

		if (n)
			vu_printer_row(p, (struct vu_cell[]){{.s = name}, {.u = n}, {.s = text}});
	}
	putchar('\n');
	return vu_printer_end(p);
}

static struct vu_json *guest_json(const struct vu_propagate_guest *g)
{
	struct vu_json *j = vu_json_new();

	if (g->name) {
		vu_json_name(j, "guest", g->name);
		vu_json_name(j, "path", g->path);
	}
	vu_json_count(j, "propagated", g->followed);
	vu_json_count(j, "bytes", g->followed_bytes);
	vu_json_count(j, "same", g->same);
	vu_json_count(j, "left", g->left);
	return j;
}

static int print_json(const struct vu_ctx *ctx, const struct vu_propagate_report *r)
{
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);
	struct vu_json *left = vu_json_new();

	vu_json_array(j, "guests");
	for (size_t i = 0; i < r->n_guests; i++)
		vu_json_append(j, "guests", guest_json(&r->guests[i]));
	vu_json_put(j, "total", guest_json(&r->total));
	for (int i = 0; i < VU_FOLLOW_N + VU_SKIP_N; i++) {
		const char *name, *text;
		uint64_t n = reason(r, i, &name, &text);

		if (n)
			vu_json_count(left, name, n);
	}
	vu_json_put(j, "left", left);
	vu_json_count(j, "names", r->total.followed);
	vu_json_count(j, "changes", r->changes);
	vu_json_count(j, "objects_new", r->objects_new);
	vu_json_count(j, "objects_removed", r->objects_removed);
	vu_json_count(j, "objects_evicted", r->objects_evicted);
	vu_json_count(j, "read_bytes", r->read_bytes);
	return vu_report_summary_print(j, &r->frozen, r->warnings, r->damages, r->seconds);
}

static int print(struct vu_ctx *ctx, const struct vu_propagate_report *r)
{
	char size[VU_SIZE_TEXT];

	if (ctx->globals.json)
		return print_json(ctx, r);
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " %s (%s) %s as in the template now, %" PRIu64 " left; %" PRIu64
	       " %s changed in templates\n\n",
	       r->total.followed, r->total.followed == 1 ? "file" : "files",
	       vu_size_text(r->total.followed_bytes, size),
	       ctx->dry_run		? "would be"
	       : r->total.followed == 1 ? "is"
					: "are",
	       r->total.left, r->changes, r->changes == 1 ? "path has" : "paths have");
	int e = print_guests(ctx, r);

	return e ? e : print_reasons(ctx, r);
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;
	struct vu_propagate_options po = {
		.template = o->template,
		.guests = ctx->operands,
		.n_guests = ctx->n_operands,
		.dry_run = ctx->dry_run,
		.trust_guests = o->trust_guests,
	};
	struct vu_propagate_report report = {0};
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;
	int r, e = vu_report_printer(ctx, "guests", columns, &p);

	if (e)
		return e;
	/* the list is what a dry run is for */
	ctx->globals.verbose = ctx->globals.verbose || (ctx->dry_run && !ctx->globals.quiet);
	vu_report_begin(ctx);
	r = vu_ops_propagate(&ctx->ops, &po, &report);
	vu_report_end(ctx);
	if (!r || r == VU_OPS_CANCELLED)
		e = print(ctx, &report);
	e = vu_report_result(ctx, r, e, "cannot propagate", report.warnings, report.damages);
	vu_propagate_report_done(&report);
	return e;
}

const struct vu_cmd vu_cmd_propagate = {
	.name = "propagate",
	.summary = "Let guests follow a template's post-processing",
	.synopsis = "[GUEST...]",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_CATALOG_READ | VU_CMD_DRY_RUN | VU_CMD_JSON |
		 VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
