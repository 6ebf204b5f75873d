/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "cmd/escape.h"
#include "cmd/message.h"

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)

static const char *const kinds[] = {
	[VU_EVENT_UNIFY] = "unify",	[VU_EVENT_SKIP] = "skip",
	[VU_EVENT_BREAK] = "break",	[VU_EVENT_BROKEN] = "broken",
	[VU_EVENT_WARN] = "warn",	[VU_EVENT_DAMAGE] = "damage",
	[VU_EVENT_RECOVER] = "recover", [VU_EVENT_FOLLOW] = "propagate",
	[VU_EVENT_LEFT] = "left",	[VU_EVENT_DROP] = "drop",
};

static void event_json(const struct vu_event *e)
{
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_json_new();

	vu_json_text(j, "type", kinds[e->kind]);
	if (e->guest)
		vu_json_name(j, "guest", e->guest);
	if (e->path)
		vu_json_name(j, "path", e->path);
	if (e->kind == VU_EVENT_SKIP)
		vu_json_text(j, "skip", vu_skip_name(e->skip));
	if (e->template)
		vu_json_name(j, "template", e->template);
	if (e->why)
		vu_json_text(j, "why", e->why);
	if (e->object)
		vu_json_name(j, "object", e->object);
	if (e->path || (e->kind == VU_EVENT_DROP && e->object))
		vu_json_count(j, "size", e->size);
	if (e->text)
		vu_json_name(j, "text", e->text);
	if (e->err)
		vu_json_name(j, "error", strerror(-e->err));
	vu_json_print(j, stdout);
}

/* "unify g1:/usr/lib/x (1.2 MiB)", "skip g1:/etc/passwd: excluded", "left g1:/usr/bin/x: differs: it is ...". */
static void event_text(const struct vu_event *e)
{
	bool utf8 = vu_escape_locale_utf8();
	_cleanup_free_ char *guest = vu_escape(e->guest ? e->guest : "", utf8);
	_cleanup_free_ char *path = vu_escape(e->path ? e->path : "", utf8);
	_cleanup_free_ char *text = vu_escape(e->text ? e->text : "", utf8);
	char size[VU_SIZE_TEXT];

	printf("%s%s%s%s%s", kinds[e->kind], e->guest || e->path ? " " : "", guest ? guest : "",
	       e->guest && e->path ? ":/" : "", path ? path : "");
	if (e->kind == VU_EVENT_SKIP)
		printf(": %s", vu_skip_name(e->skip));
	else if (e->why)
		printf(": %s", e->why);
	else if (e->path && e->kind != VU_EVENT_RECOVER)
		printf(" (%s)", vu_size_text(e->size, size));
	if (text && *text)
		printf(": %s", text);
	if (e->err)
		printf(": %s", strerror(-e->err));
	putchar('\n');
}

void vu_report_event(void *arg, const struct vu_event *e)
{
	struct vu_ctx *ctx = arg;
	bool trouble = e->kind == VU_EVENT_WARN || e->kind == VU_EVENT_DAMAGE;

	if (ctx->globals.json) {
		vu_progress_line_hide(ctx->line);
		event_json(e);
		vu_progress_line_show(ctx->line);
	} else if (trouble) {
		vu_message_event(ctx, e);
	} else if (ctx->globals.verbose || (e->kind == VU_EVENT_RECOVER && !ctx->globals.quiet)) {
		vu_progress_line_hide(ctx->line);
		event_text(e);
		vu_progress_line_show(ctx->line);
	}
}

void vu_report_begin(struct vu_ctx *ctx)
{
	ctx->sink = (struct vu_sink){.fn = vu_report_event, .arg = ctx};
	ctx->ops.per_file = ctx->globals.verbose || ctx->globals.json;
	if (!ctx->globals.no_progress && !ctx->globals.quiet)
		ctx->line = vu_progress_line_new(&ctx->progress);
	ctx->ops.guests_known = vu_progress_line_guests;
	ctx->ops.guests_known_arg = ctx->line;
}

void vu_report_end(struct vu_ctx *ctx)
{
	ctx->ops.guests_known_arg = NULL;
	ctx->line = vu_progress_line_free(ctx->line);
}

int vu_report_exit(uint64_t warnings, uint64_t damages)
{
	return damages ? VU_EXIT_DAMAGE : warnings ? VU_EXIT_WARNED : VU_EXIT_DONE;
}

int vu_report_result(struct vu_ctx *ctx, int r, int printed, const char *what, uint64_t warnings,
		     uint64_t damages)
{
	if (!r)
		r = printed;
	return r ? vu_message_result(ctx, r, what) : vu_report_exit(warnings, damages);
}

int vu_report_printer(struct vu_ctx *ctx, const char *list, const struct vu_column *columns,
		      struct vu_printer **ret)
{
	struct vu_printer_options o = {
		.out = stdout,
		.json = ctx->globals.json,
		.no_legend = ctx->globals.no_legend,
		.columns = ctx->globals.columns,
	};
	_cleanup_free_ char *bad = NULL;
	int r = vu_printer_new(&o, list, columns, ret, &bad);

	if (r == VU_PRINTER_COLUMNS) {
		vu_message(ctx, "option '--columns'", NULL, bad, NULL);
		return VU_EXIT_USAGE;
	}
	return r ? vu_message_result(ctx, r, "cannot print the result") : 0;
}

int vu_report_print_consume(struct vu_ctx *ctx, struct vu_printer *p)
{
	int r = vu_printer_end(p);

	vu_printer_free(p);
	return r ? vu_message_result(ctx, r, "cannot print the result") : VU_EXIT_DONE;
}

struct vu_json *vu_report_summary(const struct vu_ctx *ctx)
{
	struct vu_json *j = vu_json_new();

	vu_json_text(j, "type", "summary");
	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_text(j, "command", ctx->cmd->name);
	vu_json_bool(j, "dry_run", ctx->dry_run);
	vu_json_bool(j, "stopped", vu_stop_requested());
	return j;
}

int vu_report_summary_print(struct vu_json *j, const struct vu_freezer_stats *frozen,
			    uint64_t warnings, uint64_t damages, double seconds)
{
	vu_json_count(j, "frozen", frozen->times);
	vu_json_count(j, "frozen_ms_max", (frozen->max_ns + 999999) / 1000000);
	vu_json_count(j, "frozen_too_long", frozen->lifted);
	vu_json_count(j, "warnings", warnings);
	vu_json_count(j, "damages", damages);
	vu_json_seconds(j, "seconds", seconds);
	return vu_json_print(j, stdout);
}

void vu_report_evicted(uint64_t n)
{
	if (n)
		printf("%" PRIu64 " %s open for writing in a guest, and replaced for the others\n",
		       n, n == 1 ? "object was" : "objects were");
}
