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

VU_DEFINE_CLEANUP(struct vu_printer *, vu_printer_free)
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

void vu_report_frozen(struct vu_json *j, const struct vu_freezer_stats *f)
{
	vu_json_count(j, "frozen", f->times);
	vu_json_count(j, "frozen_ms_max", (f->max_ns + 999999) / 1000000);
	vu_json_count(j, "frozen_too_long", f->lifted);
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
	vu_report_frozen(j, &r->frozen);
	vu_json_count(j, "warnings", r->warnings);
	vu_json_count(j, "damages", r->damages);
	vu_json_seconds(j, "seconds", r->seconds);
	return vu_json_print(j, stdout);
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

/* Only where it happened: it hardly ever does. */
static void evicted(uint64_t n)
{
	if (n)
		printf("%" PRIu64 " %s open for writing in a guest, and replaced for the others\n",
		       n, n == 1 ? "object was" : "objects were");
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
	evicted(r->objects_evicted);
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

int vu_report_unmerge(struct vu_ctx *ctx, const struct vu_unmerge_report *r)
{
	const char *dry = ctx->dry_run ? "would be " : "";
	char size[VU_SIZE_TEXT];

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		vu_json_count(j, "names", r->names);
		vu_json_count(j, "inodes", r->inodes);
		vu_json_count(j, "copied_bytes", r->copied_bytes);
		vu_json_count(j, "objects_removed", r->objects_removed);
		vu_json_count(j, "objects_evicted", r->objects_evicted);
		vu_report_frozen(j, &r->frozen);
		vu_json_count(j, "warnings", r->warnings);
		vu_json_count(j, "damages", r->damages);
		vu_json_seconds(j, "seconds", r->seconds);
		return vu_json_print(j, stdout);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " names %smade private, %" PRIu64 " files (%s) %scopied, %" PRIu64
	       " objects %sremoved\n",
	       r->names, dry, r->inodes, vu_size_text(r->copied_bytes, size), dry,
	       r->objects_removed, dry);
	evicted(r->objects_evicted);
	return 0;
}

int vu_report_clone(struct vu_ctx *ctx, const struct vu_clone_report *r)
{
	const struct vu_copytree_stats *t = &r->tree;
	_cleanup_free_ char *path = vu_escape(r->path, vu_escape_locale_utf8());
	char size[VU_SIZE_TEXT];

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		if (r->guest)
			vu_json_name(j, "guest", r->guest);
		vu_json_name(j, "path", r->path);
		vu_json_count(j, "names", t->names);
		vu_json_count(j, "copied", t->copied);
		vu_json_count(j, "copied_bytes", t->copied_bytes);
		vu_json_count(j, "dirs", t->dirs);
		vu_json_count(j, "others", t->others);
		vu_json_count(j, "reset", t->reset);
		vu_json_count(j, "mounts", t->mounts);
		vu_json_count(j, "changed", t->changed);
		vu_report_frozen(j, &r->frozen);
		vu_json_count(j, "warnings", r->warnings);
		vu_json_count(j, "damages", r->damages);
		vu_json_seconds(j, "seconds", r->seconds);
		return vu_json_print(j, stdout);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("%s %s: %" PRIu64 " files shared, %" PRIu64 " (%s) copied, %" PRIu64
	       " reset, in %.1f s\n",
	       path ? path : "", ctx->dry_run ? "would be made" : "made", t->names, t->copied,
	       vu_size_text(t->copied_bytes, size), t->reset, r->seconds);
	if (t->mounts)
		printf("%" PRIu64 " mounts in the guest were left out\n", t->mounts);
	return 0;
}

int vu_report_remove(struct vu_ctx *ctx, const struct vu_remove_report *r)
{
	const char *dry = ctx->dry_run ? "would be " : "";
	_cleanup_free_ char *guest = vu_escape(r->guest, vu_escape_locale_utf8());

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		vu_json_name(j, "guest", r->guest);
		vu_json_name(j, "path", r->path);
		vu_json_count(j, "names", r->names);
		vu_json_count(j, "files", r->files);
		vu_json_count(j, "dirs", r->dirs);
		vu_json_count(j, "private_bytes", r->private_bytes);
		vu_json_count(j, "objects_removed", r->objects_removed);
		vu_report_frozen(j, &r->frozen);
		vu_json_count(j, "warnings", r->warnings);
		vu_json_count(j, "damages", r->damages);
		vu_json_seconds(j, "seconds", r->seconds);
		return vu_json_print(j, stdout);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("guest %s %sremoved: %" PRIu64 " shared files, %" PRIu64 " others, %" PRIu64
	       " directories",
	       guest ? guest : "", dry, r->names, r->files, r->dirs);
	if (!ctx->dry_run)
		printf("; %" PRIu64 " objects were nobody else's", r->objects_removed);
	putchar('\n');
	return 0;
}

int vu_report_recover(struct vu_ctx *ctx, const struct vu_recover_report *r)
{
	const char *dry = ctx->dry_run ? "would be " : "";

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		vu_json_count(j, "pools", r->pools);
		vu_json_count(j, "objects", r->objects);
		vu_json_count(j, "reflagged", r->reflagged);
		vu_json_count(j, "names_removed", r->names_removed);
		vu_json_count(j, "names_restored", r->names_restored);
		vu_json_count(j, "trees_removed", r->trees_removed);
		vu_json_count(j, "objects_evicted", r->objects_evicted);
		vu_report_frozen(j, &r->frozen);
		vu_json_count(j, "warnings", r->warnings);
		vu_json_count(j, "damages", r->damages);
		vu_json_seconds(j, "seconds", r->seconds);
		return vu_json_print(j, stdout);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " objects %smade immutable again, %" PRIu64
	       " leftover names %sremoved, %" PRIu64 " %sput back (%" PRIu64 " objects in %" PRIu64
	       " pools looked at)\n",
	       r->reflagged, dry, r->names_removed, dry, r->names_restored, dry, r->objects,
	       r->pools);
	if (r->trees_removed)
		printf("%" PRIu64 " unfinished guests %sremoved\n", r->trees_removed, dry);
	evicted(r->objects_evicted);
	return 0;
}
