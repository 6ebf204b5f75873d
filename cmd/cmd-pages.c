/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "cmd/message.h"
#include "cmd/pages-zram-print.h"
#include "cmd/report.h"
#include "ops/ops-pages.h"

struct options {
	struct vu_opt_list pids;
	bool freeze;
	struct vu_opt_number max_memory;
	int by;
	bool swap;
	bool swap_in;
	bool replay;
};

enum by {
	BY_OWNER = 1,
	BY_PROGRAM,
};

static const struct vu_opt opts[] = {
	{.name = "pid",
	 .kind = VU_OPT_LIST,
	 .arg = "PID",
	 .help = "count the memory of this process; may be given more than once",
	 .offset = offsetof(struct options, pids)},
	{.name = "freeze",
	 .kind = VU_OPT_FLAG,
	 .help = "freeze the guests meanwhile, for 30 seconds at most",
	 .offset = offsetof(struct options, freeze)},
	{.name = "max-memory",
	 .kind = VU_OPT_SIZE,
	 .arg = "SIZE",
	 .help = "take so much memory for it, and samples where that is not enough (512M)",
	 .offset = offsetof(struct options, max_memory)},
	{.name = "by",
	 .kind = VU_OPT_CHOICE,
	 .arg = "WHAT",
	 .choices = "guest|program",
	 .help = "show a line for each guest (process, file), or for each program",
	 .offset = offsetof(struct options, by)},
	{.name = "swap",
	 .kind = VU_OPT_FLAG,
	 .help = "count what is swapped out; also of a swap area, or of zram devices",
	 .offset = offsetof(struct options, swap)},
	{.name = "swap-in",
	 .kind = VU_OPT_FLAG,
	 .help = "read it through its processes, which brings it into memory for a moment",
	 .offset = offsetof(struct options, swap_in)},
	{.name = "replay",
	 .kind = VU_OPT_FLAG,
	 .help = "prove what is said of a zram device on another one that is made for it",
	 .offset = offsetof(struct options, replay)},
	{0},
};

static const struct vu_column columns[] = {
	{"NAME", "name", VU_COLUMN_NAME, false},
	{"PROCESSES", "processes", VU_COLUMN_COUNT, false},
	{"PAGES", "pages_bytes", VU_COLUMN_SIZE, false},
	{"ZERO", "zero_bytes", VU_COLUMN_SIZE, false},
	{"IDENTICAL", "identical_bytes", VU_COLUMN_SIZE, false},
	{"FREED", "freed_bytes", VU_COLUMN_SIZE, false},
	{"INSIDE", "freed_inside_bytes", VU_COLUMN_SIZE, false},
	{"MERGED", "merged_bytes", VU_COLUMN_SIZE, false},
	{"HUGE", "huge_bytes", VU_COLUMN_SIZE, false},
	{"SWAPPED", "swapped_bytes", VU_COLUMN_SIZE, true},
	{"HOLES", "hole_bytes", VU_COLUMN_SIZE, true},
	{"PATH", "path", VU_COLUMN_NAME, true},
	{0},
};

/* The same, of what is swapped out. */
static const struct vu_column swap_columns[] = {
	{"NAME", "name", VU_COLUMN_NAME, false},
	{"PROCESSES", "processes", VU_COLUMN_COUNT, false},
	{"PAGES", "pages_bytes", VU_COLUMN_SIZE, false},
	{"ZERO", "zero_bytes", VU_COLUMN_SIZE, false},
	{"IDENTICAL", "identical_bytes", VU_COLUMN_SIZE, false},
	{"FREED", "freed_bytes", VU_COLUMN_SIZE, false},
	{"INSIDE", "freed_inside_bytes", VU_COLUMN_SIZE, false},
	{"MERGED", "merged_bytes", VU_COLUMN_SIZE, true},
	{"HUGE", "huge_bytes", VU_COLUMN_SIZE, true},
	{"SWAPPED", "swapped_bytes", VU_COLUMN_SIZE, true},
	{"HOLES", "hole_bytes", VU_COLUMN_SIZE, true},
	{"PATH", "path", VU_COLUMN_NAME, true},
	{0},
};

/* ---- JSON ---- */

static struct vu_json *json_row(const struct vu_pages_row *w, uint64_t page)
{
	struct vu_json *j = vu_json_new();

	if (w->name)
		vu_json_name(j, "name", w->name);
	if (w->path)
		vu_json_name(j, "path", w->path);
	vu_json_count(j, "processes", w->processes);
	vu_json_count(j, "pages", w->pages);
	vu_json_count(j, "zero", w->zero);
	vu_json_count(j, "identical", w->identical);
	vu_json_count(j, "freed", w->freed);
	vu_json_count(j, "freed_inside", w->inside);
	vu_json_count(j, "freed_bytes", w->freed * page);
	vu_json_count(j, "merged", w->merged_maps);
	vu_json_count(j, "huge", w->huge);
	vu_json_count(j, "hugetlb", w->hugetlb);
	vu_json_count(j, "swapped", w->swapped);
	vu_json_count(j, "swapped_shared", w->swapped_shared);
	vu_json_count(j, "moved", w->moved);
	vu_json_count(j, "unread", w->unread);
	vu_json_count(j, "denied", w->denied);
	vu_json_count(j, "holes", w->holes);
	return j;
}

static const char *list_name(const struct vu_pages_report *r)
{
	return r->of == VU_PAGES_FILES	     ? "files"
	       : r->of == VU_PAGES_AREAS     ? "areas"
	       : r->of == VU_PAGES_PROCESSES ? "processes"
					     : "guests";
}

static int print_json(const struct vu_pages_report *r)
{
	struct vu_json *j = vu_json_new();
	int e;

	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_count(j, "page_bytes", r->page_bytes);
	vu_json_array(j, list_name(r));
	for (size_t i = 0; i < r->n; i++)
		vu_json_append(j, list_name(r), json_row(&r->row[i], r->page_bytes));
	vu_json_array(j, "programs");
	for (size_t i = 0; i < r->n_programs; i++)
		vu_json_append(j, "programs", json_row(&r->program[i], r->page_bytes));
	vu_json_put(j, "total", json_row(&r->total, r->page_bytes));
	vu_json_count(j, "freed_zero", r->freed_zero);
	vu_json_count(j, "freed_across", r->total.freed - r->total.inside);
	vu_json_count(j, "merged_frames", r->merged);
	vu_json_count(j, "contents_per_sample", UINT64_C(1) << r->level);
	vu_json_count(j, "processes_left_out", r->n_stuck);
	vu_json_bool(j, "frozen", r->frozen);
	vu_json_bool(j, "swap", r->swap);
	if (r->swap) {
		vu_json_count(j, "swap_areas", r->n_areas);
		vu_json_count(j, "stayed_in_memory", r->stayed);
		vu_json_count(j, "pushed_out_meanwhile", r->pushed_out);
		vu_json_count(j, "zero_unsure_max", r->zero_unsure);
	}
	vu_json_seconds(j, "seconds", r->seconds);
	e = vu_json_print(j, stdout);
	vu_json_free(j);
	return e;
}

/* ---- text ---- */

static void row(struct vu_printer *p, const struct vu_pages_report *r, const struct vu_pages_row *w,
		bool program)
{
	uint64_t page = r->page_bytes;
	bool file = r->of == VU_PAGES_FILES, area = r->of == VU_PAGES_AREAS && w->name;
	const struct vu_cell cells[] = {
		{.s = w->name ? w->name : "total"},
		{.u = w->processes, .none = file || area},
		{.u = w->pages * page},
		{.u = w->zero * page},
		{.u = w->identical * page},
		{.u = w->freed * page},
		{.u = w->inside * page, .none = program},
		{.u = w->merged_maps * page, .none = program || file || r->swap},
		{.u = w->huge * page, .none = program || file || r->swap},
		{.u = w->swapped * page, .none = program || file || area},
		{.u = w->holes * page, .none = !file},
		{.s = w->path, .none = !w->path},
	};

	if (w->name)
		vu_printer_row(p, cells);
	else
		vu_printer_total(p, cells);
}

static void sentence(const struct vu_pages_report *r)
{
	char freed[VU_SIZE_TEXT], all[VU_SIZE_TEXT], zero[VU_SIZE_TEXT], in[VU_SIZE_TEXT],
		across[VU_SIZE_TEXT];
	const struct vu_pages_row *t = &r->total;
	uint64_t page = r->page_bytes;

	printf("\nMerging would free %s of %s%s: %s of it inside of %s, %s across them; %s are pages of "
	       "zeros%s.\n",
	       vu_size_text(t->freed * page, freed), vu_size_text(t->pages * page, all),
	       r->swap ? " that are swapped out" : "", vu_size_text(t->inside * page, in),
	       list_name(r), vu_size_text((t->freed - t->inside) * page, across),
	       vu_size_text((r->swap ? t->zero : r->freed_zero) * page, zero),
	       r->swap ? ", which are not kept" : "");
	if (t->merged_maps)
		printf("Merged already: %" PRIu64 " pages are in %" PRIu64 " places.\n",
		       t->merged_maps, r->merged);
	if (t->huge)
		printf("%s are in huge pages, which merging splits.\n",
		       vu_size_text(t->huge * page, all));
	if (!r->swap && t->hugetlb + t->swapped)
		printf("Not looked at: %s that are swapped out, %s of hugetlbfs.\n",
		       vu_size_text(t->swapped * page, all),
		       vu_size_text(t->hugetlb * page, freed));
	if (t->swapped_shared)
		printf("Shared memory, which is not looked at: %s of it are swapped out.\n",
		       vu_size_text(t->swapped_shared * page, all));
	if (r->level)
		printf("Memory for the census was short: one of %" PRIu64
		       " contents was looked at, and stands for the others (see --max-memory).\n",
		       UINT64_C(1) << r->level);
}

/* Where what is said of swap may be wrong, or has changed something. */
static void warn_swap(struct vu_ctx *ctx, const struct vu_pages_report *r)
{
	char text[200];

	if (r->pushed_out) {
		snprintf(text, sizeof(text),
			 "%" PRIu64 " pages were swapped out meanwhile: what was not written yet "
			 "may have been told as what was there before",
			 r->pushed_out);
		vu_message(ctx, "note", NULL, text, NULL);
	}
	if (r->zero_unsure) {
		snprintf(text, sizeof(text),
			 "up to %" PRIu64 " pages of zeros, which the kernel does not write, may "
			 "have been told as what was there before",
			 r->zero_unsure);
		vu_message(ctx, "note", NULL, text, "--swap-in tells them as they are");
	}
	if (r->stayed) {
		snprintf(text, sizeof(text),
			 "%" PRIu64
			 " pages that were read are in memory now, and did not go out again",
			 r->stayed);
		vu_message(ctx, "note", NULL, text, NULL);
	}
}

/* What was not as it should be. */
static void warn(struct vu_ctx *ctx, const struct vu_pages_report *r)
{
	const struct vu_pages_row *t = &r->total;
	char text[160];

	if (t->moved + t->unread) {
		snprintf(text, sizeof(text),
			 "%" PRIu64 " pages went away while they were read, %" PRIu64
			 " could not be read",
			 t->moved, t->unread);
		if (ctx->globals.verbose || (t->moved + t->unread) > t->pages / 100)
			vu_message(ctx, "note", NULL, text,
				   r->of == VU_PAGES_GUESTS && !r->frozen
					   ? "--freeze keeps the guests still"
					   : NULL);
	}
	if (r->n_stuck || t->denied) {
		snprintf(text, sizeof(text),
			 "%u processes kept the census waiting, and %" PRIu64
			 " did not let themselves be read: they are left out",
			 r->n_stuck, t->denied);
		vu_message(ctx, "warning", NULL, text, NULL);
	}
	if (r->thawed)
		vu_message(ctx, "warning", NULL,
			   "it lasted too long to keep the guests frozen: they went on meanwhile",
			   "name fewer of them");
}

static int print_text(struct vu_ctx *ctx, const struct vu_pages_report *r, bool by_program)
{
	struct vu_printer *p = NULL;
	int e = vu_report_printer(ctx, list_name(r), r->swap ? swap_columns : columns, &p);

	if (e)
		return e;
	for (size_t i = 0; i < (by_program ? r->n_programs : r->n); i++)
		row(p, r, by_program ? &r->program[i] : &r->row[i], by_program);
	row(p, r, &r->total, by_program);
	e = vu_report_print_consume(ctx, p);
	if (!e && !ctx->globals.no_legend && !ctx->globals.quiet)
		sentence(r);
	return e;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *given = options;
	struct vu_pages_options o = {
		.operands = ctx->operands,
		.n = ctx->n_operands,
		.pids = given->pids.v,
		.n_pids = given->pids.n,
		.freeze = given->freeze,
		.max_memory = given->max_memory.set ? given->max_memory.value : 0,
		.swap = given->swap,
		.swap_in = given->swap_in,
		.replay = given->replay,
	};
	struct vu_pages_report r = {0};
	int e;

	vu_report_begin(ctx);
	e = vu_ops_pages(&ctx->ops, &o, &r);
	vu_report_end(ctx);
	if (e)
		return vu_message_result(ctx, e, "cannot count pages");
	warn(ctx, &r);
	warn_swap(ctx, &r);
	if (r.of == VU_PAGES_ZRAM)
		e = vu_pages_zram_print(ctx, &r);
	else if (!ctx->globals.json)
		e = print_text(ctx, &r, given->by == BY_PROGRAM);
	else if (print_json(&r))
		e = vu_message_result(ctx, -EIO, "cannot print the result");
	if (!e && (r.n_stuck || r.total.denied || r.thawed))
		e = VU_EXIT_WARNED;
	vu_pages_done(&r);
	return e;
}

const struct vu_cmd vu_cmd_pages = {
	.name = "pages",
	.summary = "Count pages of memory, or of files, that are the same",
	.synopsis = "[GUEST...|FILE...|DEVICE...]",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_TABLE | VU_CMD_GUARDED,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
