/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-diff.h"

struct options {
	int only; /* 1 + enum vu_diff_kind */
	bool list;
	bool full;
};

static const struct vu_opt opts[] = {
	{"only", 0, VU_OPT_CHOICE, "WHAT", "shared|equal|different|a|b",
	 "list only these files; a, b: those that only the first or the second guest has",
	 offsetof(struct options, only)},
	{"list", 'l', VU_OPT_FLAG, NULL, NULL, "list the files, not only how many there are",
	 offsetof(struct options, list)},
	{"full", 0, VU_OPT_FLAG, NULL, NULL,
	 "read all files that have to be compared, whatever the catalog says",
	 offsetof(struct options, full)},
	{0},
};

static const struct {
	const char *name; /* also in JSON */
	const char *text;
} kinds[] = {
	[VU_DIFF_SHARED] = {"shared", "one inode in both"},
	[VU_DIFF_EQUAL] = {"equal", "the same content in two inodes"},
	[VU_DIFF_DIFFERENT] = {"different", "other content, or other than a regular file"},
	[VU_DIFF_A] = {"a", "only the first guest has it"},
	[VU_DIFF_B] = {"b", "only the second guest has it"},
	[VU_DIFF_UNKNOWN] = {"unknown", "could not be compared"},
};

static const struct vu_column columns[] = {
	{"WHAT", "what", VU_COLUMN_TEXT, false},
	{"FILES", "files", VU_COLUMN_COUNT, false},
	{"SIZE", "bytes", VU_COLUMN_SIZE, false},
	{"MEANING", "meaning", VU_COLUMN_TEXT, false},
	{0},
};

/* Why equal files are two: no skip means that the next scan unifies them. */
static const char *reason(enum vu_skip skip)
{
	return skip ? vu_skip_name(skip) : "pending";
}

struct listing {
	struct vu_ctx *ctx;
	int only;
};

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)

static void file_json(const struct vu_diff_file *f)
{
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_json_new();

	vu_json_text(j, "type", kinds[f->kind].name);
	vu_json_name(j, "path", f->path);
	vu_json_count(j, "size", f->size);
	if (f->kind == VU_DIFF_EQUAL)
		vu_json_text(j, "skip", reason(f->skip));
	vu_json_print(j, stdout);
}

/* "equal /usr/share/x (3 B): mtime-differs" */
static void on_file(void *arg, const struct vu_diff_file *f)
{
	const struct listing *l = arg;
	char size[VU_SIZE_TEXT];

	if (l->only && l->only != 1 + (int)f->kind)
		return;
	vu_progress_line_hide(l->ctx->line);
	if (l->ctx->globals.json) {
		file_json(f);
	} else {
		_cleanup_free_ char *path = vu_escape(f->path, vu_escape_locale_utf8());

		printf("%s /%s (%s)", kinds[f->kind].name, path ? path : "",
		       vu_size_text(f->size, size));
		if (f->kind == VU_DIFF_EQUAL)
			printf(": %s", reason(f->skip));
		putchar('\n');
	}
	vu_progress_line_show(l->ctx->line);
}

static struct vu_json *guest_json(const struct vu_diff_report *r, unsigned i)
{
	char when[VU_TIME_TEXT];
	struct vu_json *j = vu_json_new();

	vu_json_name(j, "guest", r->guests[i].name);
	vu_json_name(j, "path", r->guests[i].path);
	vu_json_text(j, "scanned",
		     r->guests[i].looked_ns ? vu_time_text(r->guests[i].looked_ns, true, when)
					    : NULL);
	vu_json_count(j, "other_filesystems", r->guests[i].other_fs);
	return j;
}

static int print_json(const struct vu_diff_report *r)
{
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_json_new();
	struct vu_json *skips = vu_json_new();

	vu_json_text(j, "type", "summary");
	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_text(j, "command", "diff");
	vu_json_bool(j, "stopped", vu_stop_requested());
	vu_json_put(j, "a", guest_json(r, 0));
	vu_json_put(j, "b", guest_json(r, 1));
	for (int k = 0; k < VU_DIFF_N; k++) {
		struct vu_json *one = vu_json_new();
		char key[32];

		vu_json_count(one, "files", r->kinds[k].files);
		vu_json_count(one, "bytes", r->kinds[k].bytes);
		snprintf(key, sizeof(key), "%s%s", k == VU_DIFF_A || k == VU_DIFF_B ? "only_" : "",
			 kinds[k].name);
		vu_json_put(j, key, one);
	}
	for (int s = 0; s < VU_SKIP_N; s++)
		if (r->skips[s])
			vu_json_count(skips, reason((enum vu_skip)s), r->skips[s]);
	vu_json_put(j, "equal_because", skips);
	vu_json_count(j, "digests_recorded", r->recorded);
	vu_json_count(j, "read_files", r->read);
	vu_json_count(j, "read_bytes", r->read_bytes);
	vu_json_count(j, "warnings", r->warnings);
	vu_json_seconds(j, "seconds", r->seconds);
	return vu_json_print(j, stdout);
}

static int print_skips(struct vu_ctx *ctx, const struct vu_diff_report *r)
{
	static const struct vu_column skip_columns[] = {
		{"EQUAL", "skip", VU_COLUMN_TEXT, false},
		{"FILES", "files", VU_COLUMN_COUNT, false},
		{"WHY", "why", VU_COLUMN_TEXT, false},
		{0},
	};
	struct vu_printer_options o = {.out = stdout, .no_legend = ctx->globals.no_legend};
	struct vu_printer *p = NULL;
	_cleanup_free_ char *bad = NULL;
	int e;

	if (!r->kinds[VU_DIFF_EQUAL].files)
		return 0;
	putchar('\n');
	e = vu_printer_new(&o, "equal", skip_columns, &p, &bad);
	if (e)
		return e < 0 ? e : -EINVAL;
	for (int s = 0; s < VU_SKIP_N; s++) {
		const struct vu_cell cells[] = {
			{.s = reason((enum vu_skip)s)},
			{.u = r->skips[s]},
			{.s = s ? vu_skip_text((enum vu_skip)s) : "the next scan would unify them"},
		};

		if (r->skips[s])
			vu_printer_row(p, cells);
	}
	e = vu_printer_end(p);
	vu_printer_free(p);
	return e;
}

/* How old is what this rests on? */
static void print_age(const struct vu_diff_report *r)
{
	char read[VU_SIZE_TEXT], when[VU_TIME_TEXT];

	printf("\nlooked at now; %" PRIu64 " digests from the catalog, %" PRIu64
	       " files (%s) read in %.1f s\n",
	       r->recorded, r->read, vu_size_text(r->read_bytes, read), r->seconds);
	for (unsigned i = 0; i < 2; i++) {
		_cleanup_free_ char *name = vu_escape(r->guests[i].name, vu_escape_locale_utf8());

		printf("%s: %s, last scanned %s", i ? "b" : "a", name ? name : "?",
		       r->guests[i].looked_ns ? vu_time_text(r->guests[i].looked_ns, false, when)
					      : "never");
		if (r->guests[i].other_fs)
			printf("; %" PRIu64 " other mounts in it were not looked into",
			       r->guests[i].other_fs);
		putchar('\n');
	}
}

static int print(struct vu_ctx *ctx, struct vu_printer *p, const struct vu_diff_report *r,
		 bool after_list)
{
	int e;

	if (ctx->globals.json)
		return print_json(r);
	if (ctx->globals.quiet)
		return 0;
	if (after_list)
		putchar('\n');
	for (int k = 0; k < VU_DIFF_N; k++) {
		const struct vu_cell cells[] = {
			{.s = kinds[k].name},
			{.u = r->kinds[k].files},
			{.u = r->kinds[k].bytes},
			{.s = kinds[k].text},
		};

		if (k != VU_DIFF_UNKNOWN || r->kinds[k].files)
			vu_printer_row(p, cells);
	}
	e = vu_printer_end(p);
	if (!e)
		e = print_skips(ctx, r);
	if (!e)
		print_age(r);
	return e;
}

VU_DEFINE_CLEANUP(struct vu_printer *, vu_printer_free)
VU_DEFINE_CLEANUP_DONE(struct vu_diff_report, vu_diff_done)

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;
	bool list = o->list || o->only || ctx->globals.verbose;
	struct listing l = {.ctx = ctx, .only = o->only};
	struct vu_diff_options d = {
		.guests = {ctx->operands[0], ctx->operands[1]},
		.read_all = o->full,
		.file = list ? on_file : NULL,
		.arg = &l,
	};
	vu_cleanup(vu_diff_done_p) struct vu_diff_report report = {0};
	vu_cleanup(vu_printer_free_p) struct vu_printer *p = NULL;
	int r, e = vu_report_printer(ctx, "files", columns, &p);

	if (e)
		return e;
	vu_report_begin(ctx);
	r = vu_ops_diff(&ctx->ops, &d, &report);
	vu_report_end(ctx);
	if (!r)
		r = print(ctx, p, &report, list);
	return r ? vu_message_result(ctx, r, "cannot compare") : vu_report_exit(report.warnings, 0);
}

const struct vu_cmd vu_cmd_diff = {
	.name = "diff",
	.summary = "Compare two guests: what they share, differ in, or only one has",
	.synopsis = "GUEST GUEST",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.min_operands = 2,
	.max_operands = 2,
	.run = run,
};
