/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The summaries of scan and remerge. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/report.h"

VU_DEFINE_CLEANUP(struct vu_printer *, vu_printer_free)
VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)

static void skips_json(struct vu_json *j, const struct vu_scan_guest *g)
{
	struct vu_json *skips = vu_json_new();

	for (int s = 0; s < VU_SKIP_N; s++) {
		struct vu_json *one;

		if (!g->skips[s].files)
			continue;
		one = vu_json_new();
		vu_json_count(one, "files", g->skips[s].files);
		vu_json_count(one, "bytes", g->skips[s].bytes);
		vu_json_put(skips, vu_skip_name((enum vu_skip)s), one);
	}
	vu_json_put(j, "skips", skips);
}

/* What came apart, and stays so: names, by the reason. */
static void broken_json(struct vu_json *j, const struct vu_scan_guest *g)
{
	struct vu_json *stay = vu_json_new();

	vu_json_count(j, "broken", g->broken);
	vu_json_count(j, "again", g->again);
	for (int s = 0; s < VU_SKIP_N; s++)
		if (g->broken_skips[s])
			vu_json_count(stay, vu_skip_name((enum vu_skip)s), g->broken_skips[s]);
	vu_json_put(j, "broken_skips", stay);
}

static struct vu_json *guest_json(const struct vu_scan_guest *g, bool remerge)
{
	struct vu_json *j = vu_json_new();

	if (g->name) {
		vu_json_name(j, "guest", g->name);
		vu_json_name(j, "path", g->path);
	}
	vu_json_count(j, "dirs", g->dirs);
	vu_json_count(j, "files", g->files);
	vu_json_count(j, "inodes", g->inodes);
	vu_json_count(j, "bytes", g->bytes);
	vu_json_count(j, "unified_before", g->unified_before);
	vu_json_count(j, "unified_now", g->unified_now);
	vu_json_count(j, "private", g->private_names);
	vu_json_count(j, "saved_bytes", g->saved_bytes);
	if (remerge)
		broken_json(j, g);
	skips_json(j, g);
	return j;
}

static int scan_json(const struct vu_ctx *ctx, const struct vu_scan_report *r, bool remerge)
{
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

	vu_json_array(j, "guests");
	for (size_t i = 0; i < r->n_guests; i++)
		vu_json_append(j, "guests", guest_json(&r->guests[i], remerge));
	vu_json_put(j, "total", guest_json(&r->total, remerge));
	vu_json_count(j, "names_unified", r->names_unified);
	vu_json_count(j, "objects_new", r->objects_new);
	vu_json_count(j, "saved_bytes", r->saved_bytes);
	vu_json_count(j, "read_bytes", r->read_bytes);
	vu_json_count(j, "hashed_bytes", r->hashed_bytes);
	vu_json_bool(j, "disk_only", r->disk_only);
	if (ctx->dry_run && !r->disk_only) {
		vu_json_count(j, "memory_freed_now_bytes", r->memory.total.now);
		vu_json_count(j, "memory_freed_bytes", r->memory.total.all);
	}
	vu_json_count(j, "objects_evicted", r->objects_evicted);
	return vu_report_summary_print(j, &r->frozen, r->warnings, r->damages, r->seconds);
}

/* The last two cells are remerge's alone. */
#define GUEST_COLUMNS(size_hidden)                                                                 \
	{"GUEST", "guest", VU_COLUMN_NAME, false}, {"FILES", "files", VU_COLUMN_COUNT, false},     \
		{"SIZE", "bytes", VU_COLUMN_SIZE, size_hidden},                                    \
		{"BEFORE", "unified_before", VU_COLUMN_COUNT, false},                              \
		{"UNIFIED", "unified_now", VU_COLUMN_COUNT, false},                                \
		{"PRIVATE", "private", VU_COLUMN_COUNT, false},                                    \
		{"SAVED", "saved_bytes", VU_COLUMN_SIZE, false},                                   \
		{"DIRS", "dirs", VU_COLUMN_COUNT, true},                                           \
		{"INODES", "inodes", VU_COLUMN_COUNT, true},                                       \
	{                                                                                          \
		"PATH", "path", VU_COLUMN_NAME, true                                               \
	}

static const struct vu_column guest_columns[] = {GUEST_COLUMNS(false), {0}};

static const struct vu_column remerge_columns[] = {
	GUEST_COLUMNS(true),
	{"BROKEN", "broken", VU_COLUMN_COUNT, false},
	{"AGAIN", "again", VU_COLUMN_COUNT, false},
	{0},
};

static void guest_row(struct vu_printer *p, const struct vu_scan_guest *g, bool total)
{
	const struct vu_cell cells[] = {
		{.s = total ? "total" : g->name},
		{.u = g->files},
		{.u = g->bytes},
		{.u = g->unified_before},
		{.u = g->unified_now},
		{.u = g->private_names},
		{.u = g->saved_bytes},
		{.u = g->dirs},
		{.u = g->inodes},
		{.s = total ? "" : g->path},
		{.u = g->broken},
		{.u = g->again},
	};

	if (total)
		vu_printer_total(p, cells);
	else
		vu_printer_row(p, cells);
}

static int scan_guests(struct vu_ctx *ctx, const struct vu_scan_report *r, bool remerge)
{
	struct vu_printer_options o = {
		.out = stdout,
		.no_legend = ctx->globals.no_legend,
		.columns = ctx->globals.columns,
	};
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;
	_cleanup_free_ char *bad = NULL;
	int e = vu_printer_new(&o, "guests", remerge ? remerge_columns : guest_columns, &p, &bad);

	if (e)
		return e < 0 ? e : -EINVAL;
	for (size_t i = 0; i < r->n_guests; i++)
		guest_row(p, &r->guests[i], false);
	guest_row(p, &r->total, true);
	return vu_printer_end(p);
}

int vu_report_scan_columns(struct vu_ctx *ctx)
{
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;

	return vu_report_printer(ctx, "guests", guest_columns, &p);
}

int vu_report_remerge_columns(struct vu_ctx *ctx)
{
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;

	return vu_report_printer(ctx, "guests", remerge_columns, &p);
}

static int scan_skips(const struct vu_ctx *ctx, const struct vu_scan_report *r, bool remerge)
{
	const struct vu_column columns[] = {
		{"SKIPPED", "skip", VU_COLUMN_TEXT, false},
		{"FILES", "files", VU_COLUMN_COUNT, false},
		{"BROKEN", "broken", VU_COLUMN_COUNT, !remerge},
		{"SIZE", "bytes", VU_COLUMN_SIZE, false},
		{"WHY", "why", VU_COLUMN_TEXT, false},
		{0},
	};
	struct vu_printer_options o = {.out = stdout, .no_legend = ctx->globals.no_legend};
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;
	_cleanup_free_ char *bad = NULL;
	size_t n = 0;
	int e = vu_printer_new(&o, "skips", columns, &p, &bad);

	if (e)
		return e;
	for (int s = 0; s < VU_SKIP_N; s++) {
		const struct vu_cell cells[] = {
			{.s = vu_skip_name((enum vu_skip)s)}, {.u = r->total.skips[s].files},
			{.u = r->total.broken_skips[s]},      {.u = r->total.skips[s].bytes},
			{.s = vu_skip_text((enum vu_skip)s)},
		};

		if (!cells[1].u)
			continue;
		vu_printer_row(p, cells);
		n++;
	}
	if (!n)
		return 0;
	putchar('\n');
	return vu_printer_end(p);
}

/* "12 files had come apart, 10 of them are unified again": that the others are not is told by reason below. */
static void came_apart(const struct vu_ctx *ctx, const struct vu_scan_guest *total)
{
	printf("%" PRIu64 " %s come apart since the last run, %" PRIu64 " of them %s unified "
	       "again\n",
	       total->broken, total->broken == 1 ? "file had" : "files had", total->again,
	       ctx->dry_run	   ? "would be"
	       : total->again == 1 ? "is"
				   : "are");
}

static int report_scan(struct vu_ctx *ctx, const struct vu_scan_report *r, bool remerge)
{
	const char *would = ctx->dry_run ? "would be" : r->names_unified == 1 ? "was" : "were";
	char saved[VU_SIZE_TEXT], read[VU_SIZE_TEXT];
	int e;

	if (ctx->globals.json)
		return scan_json(ctx, r, remerge);
	if (ctx->globals.quiet)
		return 0;
	/* What differs between a run and -n stands in the first line only: the rest can be compared. */
	printf("%" PRIu64 " %s %s %s, %s %s saved%s", r->names_unified,
	       r->names_unified == 1 ? "file" : "files", would,
	       r->disk_only ? "given shared extents" : "unified",
	       vu_size_text(r->saved_bytes, saved), ctx->dry_run ? "would be" : "was",
	       r->disk_only ? " on the disk only, not in memory" : "");
	if (ctx->dry_run && !r->disk_only)
		printf(", of the memory %s at once and %s in the end",
		       vu_size_text(r->memory.total.now, saved),
		       vu_size_text(r->memory.total.all, read));
	printf(" (read %s in %.1f s)\n", vu_size_text(r->read_bytes, read), r->seconds);
	if (remerge)
		came_apart(ctx, &r->total);
	vu_report_evicted(r->objects_evicted);
	if (r->n_guests) {
		putchar('\n');
		e = scan_guests(ctx, r, remerge);
		if (e)
			return e;
	}
	return scan_skips(ctx, r, remerge);
}

int vu_report_scan(struct vu_ctx *ctx, const struct vu_scan_report *r)
{
	return report_scan(ctx, r, false);
}

int vu_report_remerge(struct vu_ctx *ctx, const struct vu_scan_report *r)
{
	return report_scan(ctx, r, true);
}
