/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-stale.h"

struct options {
	bool files;
	bool restart_list;
};

static const struct vu_opt opts[] = {
	{"files", 0, VU_OPT_FLAG, NULL, NULL, "show the files instead of the services",
	 offsetof(struct options, files)},
	{"restart-list", 0, VU_OPT_FLAG, NULL, NULL,
	 "print the units to be restarted, those that free most first: UNIT, or GUEST, a tab and UNIT",
	 offsetof(struct options, restart_list)},
	{0},
};

static const char *const kinds[VU_HOLDERS_KINDS] = {
	[VU_HOLDERS_UNKNOWN] = "unknown",
	[VU_HOLDERS_SAME] = "same",
	[VU_HOLDERS_CHANGED] = "changed",
	[VU_HOLDERS_REMOVED] = "removed",
};

/* ---- services ---- */

static const struct vu_column columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"SERVICE", "service", VU_COLUMN_NAME, false},
	{"PROCS", "processes", VU_COLUMN_COUNT, false},
	{"SAME", "same", VU_COLUMN_COUNT, false},
	{"CHANGED", "changed", VU_COLUMN_COUNT, false},
	{"REMOVED", "removed", VU_COLUMN_COUNT, false},
	{"HELD", "held_bytes", VU_COLUMN_SIZE, false},
	{"FREED", "freed_bytes", VU_COLUMN_SIZE, false},
	{"UNKNOWN", "unknown", VU_COLUMN_COUNT, true},
	{"UNIT", "is_unit", VU_COLUMN_BOOL, true},
	{"OF-GUEST", "unit_of_guest", VU_COLUMN_BOOL, true},
	{0},
};

static void service_row(struct vu_printer *p, const struct vu_stale_service *s)
{
	const struct vu_cell cells[] = {
		{.s = s->guest},
		{.s = s->name},
		{.u = s->processes},
		{.u = s->kind[VU_HOLDERS_SAME].files},
		{.u = s->kind[VU_HOLDERS_CHANGED].files},
		{.u = s->kind[VU_HOLDERS_REMOVED].files},
		{.u = s->held_bytes},
		{.u = s->freed_bytes},
		{.u = s->kind[VU_HOLDERS_UNKNOWN].files},
		{.u = s->is_unit},
		{.u = s->of_guest},
	};

	vu_printer_row(p, cells);
}

/* Each file once: what all of them together would free. */
static void service_total(struct vu_printer *p, const struct vu_stale *s)
{
	uint64_t processes = 0;

	for (size_t i = 0; i < s->n_services; i++)
		processes += s->services[i].processes;
	const struct vu_cell cells[] = {
		{.s = "total"},
		{.none = true},
		{.u = processes},
		{.u = s->kind[VU_HOLDERS_SAME].files},
		{.u = s->kind[VU_HOLDERS_CHANGED].files},
		{.u = s->kind[VU_HOLDERS_REMOVED].files},
		{.u = s->held_bytes},
		{.u = s->held_bytes},
		{.u = s->kind[VU_HOLDERS_UNKNOWN].files},
		{.none = true},
		{.none = true},
	};

	vu_printer_total(p, cells);
}

/* ---- files ---- */

static const struct vu_column file_columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"CONTENT", "content", VU_COLUMN_TEXT, false},
	{"HELD", "held_bytes", VU_COLUMN_SIZE, false},
	{"PATH", "path", VU_COLUMN_NAME, false},
	{"MAPPED", "mapped", VU_COLUMN_NAME, true},
	{0},
};

static void file_row(struct vu_printer *p, const struct vu_stale_file *f)
{
	const struct vu_cell cells[] = {
		{.s = f->guest},      {.s = kinds[f->kind]},
		{.u = f->held_bytes}, {.s = f->path, .none = !f->path},
		{.s = f->mapped},
	};

	vu_printer_row(p, cells);
}

/* ---- */

static int print_table(struct vu_ctx *ctx, const struct vu_stale *s, bool files,
		       struct vu_printer *p)
{
	for (size_t i = 0; files && i < s->n_files; i++)
		file_row(p, &s->files[i]);
	for (size_t i = 0; !files && i < s->n_services; i++)
		service_row(p, &s->services[i]);
	if (!files)
		service_total(p, s);
	return vu_report_print_consume(ctx, p);
}

/* Only what can be restarted by its name: neither programs nor sessions. */
static bool is_service(const struct vu_stale_service *s)
{
	const char *suffix = strrchr(s->name, '.');

	return s->is_unit && suffix && !strcmp(suffix, ".service");
}

static int print_list(struct vu_ctx *ctx, const struct vu_stale *s)
{
	_cleanup_free_ char *why = NULL;
	size_t others = 0;

	for (size_t i = 0; i < s->n_services; i++) {
		const struct vu_stale_service *v = &s->services[i];
		_cleanup_free_ char *guest = vu_escape(v->guest, vu_escape_locale_utf8());

		if (!is_service(v))
			others++;
		else if (v->of_guest)
			printf("%s\t%s\n", guest ? guest : "?", v->name);
		else
			printf("%s\n", v->name);
	}
	if (others && asprintf(&why, "%zu %s no services of systemd, and not in the list", others,
			       others == 1 ? "program is" : "programs are") > 0)
		vu_message(ctx, "note", NULL, why, "see 'vunify stale'");
	return VU_EXIT_DONE;
}

/* What could not be told. */
static int warn(struct vu_ctx *ctx, const struct vu_stale *s)
{
	bool any = s->truncated || s->hidden;

	if (s->hidden)
		vu_message(ctx, "warning", "/proc/PID/map_files",
			   "the kernel does not show what is mapped: replaced files are unknown",
			   "run with CAP_SYS_ADMIN");
	if (s->truncated)
		vu_message(ctx, "warning", NULL,
			   "a guest holds more than is looked at: the list is not complete", NULL);
	for (size_t i = 0; s->names[i]; i++) {
		if (!s->unknown[i])
			continue;
		any = true;
		vu_message(
			ctx, "warning", s->names[i],
			"a process of it holds its memory map locked: what the guest has is unknown",
			NULL);
	}
	return any ? VU_EXIT_WARNED : VU_EXIT_DONE;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;
	struct vu_stale s = {0};
	struct vu_printer *p = NULL;
	int r, e = 0;

	if (o->restart_list && (o->files || ctx->globals.json || ctx->globals.columns)) {
		vu_message(ctx, "stale", NULL, "--restart-list is a list of its own",
			   "leave --files, --json and --columns away");
		return VU_EXIT_USAGE;
	}
	if (!o->restart_list)
		e = vu_report_printer(ctx, o->files ? "files" : "services",
				      o->files ? file_columns : columns, &p);
	if (e)
		return e;
	r = vu_ops_stale(&ctx->ops, ctx->operands, ctx->n_operands, &s);
	if (r) {
		vu_printer_free(p);
		e = vu_message_result(ctx, r, "cannot look at the processes");
	} else {
		e = o->restart_list ? print_list(ctx, &s) : print_table(ctx, &s, o->files, p);
		e = e ? e : warn(ctx, &s);
	}
	vu_stale_done(&s);
	return e;
}

const struct vu_cmd vu_cmd_stale = {
	.name = "stale",
	.summary = "Show which services still have replaced files in memory",
	.synopsis = "[GUEST...]",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
