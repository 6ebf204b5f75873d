/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/pages-zram-print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "cmd/message.h"
#include "cmd/printer.h"
#include "cmd/report.h"

static const struct vu_column columns[] = {
	{"DEVICE", "path", VU_COLUMN_NAME, false},
	{"STORED", "stored_bytes", VU_COLUMN_SIZE, false},
	{"FILLED", "filled_bytes", VU_COLUMN_SIZE, true},
	{"COMPRESSED", "compressed_bytes", VU_COLUMN_SIZE, false},
	{"IDENTICAL", "identical_bytes", VU_COLUMN_SIZE, false},
	{"FREED", "freed_bytes", VU_COLUMN_SIZE, false},
	{"SAVED", "saved_bytes", VU_COLUMN_SIZE, false},
	{"REPLAYED", "replay_saved_bytes", VU_COLUMN_SIZE, true},
	{"USED", "used_bytes", VU_COLUMN_SIZE, true},
	{"ALGORITHM", "algorithm", VU_COLUMN_NAME, true},
	{0},
};

/* Compressed bytes that the replay has less. 0 where it has more, as it may if the device has changed meanwhile. */
static uint64_t replay_saved(const struct vu_pages_zram *z)
{
	return z->compressed > z->replay_compressed ? z->compressed - z->replay_compressed : 0;
}

static struct vu_json *json_row(const struct vu_pages_zram *z, uint64_t page)
{
	struct vu_json *j = vu_json_new();

	vu_json_name(j, "path", z->path);
	vu_json_name(j, "algorithm", z->algorithm);
	vu_json_count(j, "stored_bytes", z->stored);
	vu_json_count(j, "compressed_bytes", z->compressed);
	vu_json_count(j, "used_bytes", z->used);
	vu_json_count(j, "pages", z->pages);
	vu_json_count(j, "filled", z->filled);
	vu_json_count(j, "identical", z->identical);
	vu_json_count(j, "freed", z->freed);
	vu_json_count(j, "freed_bytes", z->freed * page);
	vu_json_count(j, "saved_bytes", z->saved);
	vu_json_count(j, "contents_per_sample", UINT64_C(1) << z->level);
	if (z->replayed) {
		vu_json_count(j, "replay_compressed_bytes", z->replay_compressed);
		vu_json_count(j, "replay_used_bytes", z->replay_used);
		vu_json_count(j, "replay_saved_bytes", replay_saved(z));
	}
	return j;
}

static int print_json(const struct vu_pages_report *r)
{
	struct vu_json *j = vu_json_new();
	int e;

	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_count(j, "page_bytes", r->page_bytes);
	vu_json_array(j, "devices");
	for (size_t i = 0; i < r->n_zram; i++)
		vu_json_append(j, "devices", json_row(&r->zram[i], r->page_bytes));
	vu_json_seconds(j, "seconds", r->seconds);
	e = vu_json_print(j, stdout);
	vu_json_free(j);
	return e;
}

static void sentence(const struct vu_pages_zram *z)
{
	char saved[VU_SIZE_TEXT], all[VU_SIZE_TEXT], used[VU_SIZE_TEXT], left[VU_SIZE_TEXT];
	_cleanup_free_ char *path = vu_escape(z->path, vu_escape_locale_utf8());

	printf("%s: merging would save %s of %s compressed: %" PRIu64 " of %" PRIu64
	       " pages are copies of others.\n",
	       path ? path : "", vu_size_text(z->saved, saved), vu_size_text(z->compressed, all),
	       z->freed, z->pages);
	if (z->replayed)
		printf("Replayed with each page once, it saves %s, and takes %s of memory instead of "
		       "%s.\n",
		       vu_size_text(replay_saved(z), saved), vu_size_text(z->replay_used, left),
		       vu_size_text(z->used, used));
	if (z->level)
		printf("Memory for the census was short: one of %" PRIu64
		       " contents was looked at, and stands for the others (see --max-memory).\n",
		       UINT64_C(1) << z->level);
}

static int print_text(struct vu_ctx *ctx, const struct vu_pages_report *r)
{
	struct vu_printer *p = NULL;
	int e = vu_report_printer(ctx, "devices", columns, &p);

	if (e)
		return e;
	for (size_t i = 0; i < r->n_zram; i++) {
		const struct vu_pages_zram *z = &r->zram[i];
		const struct vu_cell cells[] = {
			{.s = z->path},
			{.u = z->stored},
			{.u = z->filled * r->page_bytes},
			{.u = z->compressed},
			{.u = z->identical * r->page_bytes},
			{.u = z->freed * r->page_bytes},
			{.u = z->saved},
			{.u = replay_saved(z), .none = !z->replayed},
			{.u = z->used},
			{.s = z->algorithm},
		};

		vu_printer_row(p, cells);
	}
	e = vu_report_print_consume(ctx, p);
	if (e || ctx->globals.no_legend || ctx->globals.quiet)
		return e;
	printf("\n");
	for (size_t i = 0; i < r->n_zram; i++)
		sentence(&r->zram[i]);
	return 0;
}

int vu_pages_zram_print(struct vu_ctx *ctx, const struct vu_pages_report *r)
{
	if (!ctx->globals.json)
		return print_text(ctx, r);
	return print_json(r) ? vu_message_result(ctx, -EIO, "cannot print the result") : 0;
}
