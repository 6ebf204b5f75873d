/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/mem-estimate.h"
#include "cmd/mem-html.h"
#include "cmd/mem-prove.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-mem.h"

struct options {
	bool estimate;
	const char *html;
	const char *library;
	bool prove;
};

static const struct vu_opt opts[] = {
	{"estimate", 0, VU_OPT_FLAG, NULL, NULL,
	 "what unifying these roots would free, before anything is changed",
	 offsetof(struct options, estimate)},
	{"html", 0, VU_OPT_STRING, "FILE", NULL,
	 "write a page with figures besides: before and now, a library's pages, restarts",
	 offsetof(struct options, html)},
	{"library", 0, VU_OPT_STRING, "PATH", NULL,
	 "with --html, the file in the guests whose pages are shown (default: their libc)",
	 offsetof(struct options, library)},
	{"prove", 0, VU_OPT_FLAG, NULL, NULL,
	 "compare the physical pages of the files; exit 0 if all are the same, else 1",
	 offsetof(struct options, prove)},
	{0},
};

static const struct vu_column columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"PROCS", "processes", VU_COLUMN_COUNT, false},
	{"FILE-OWN", "file_own_bytes", VU_COLUMN_SIZE, false},
	{"FILE-SHARED", "file_shared_bytes", VU_COLUMN_SIZE, false},
	{"FILE-FAIR", "file_fair_bytes", VU_COLUMN_SIZE, false},
	{"CHARGED", "charged_bytes", VU_COLUMN_SIZE, false},
	{"ANON", "anon_bytes", VU_COLUMN_SIZE, false},
	{"SWAPPED", "swapped_bytes", VU_COLUMN_SIZE, false},
	{"CHARGED-FILE", "charged_file_bytes", VU_COLUMN_SIZE, true},
	{"CHARGED-MAPPED", "charged_mapped_bytes", VU_COLUMN_SIZE, true},
	{"ANON-FAIR", "anon_fair_bytes", VU_COLUMN_SIZE, true},
	{"RSS", "rss_bytes", VU_COLUMN_SIZE, true},
	{"SWAPPED-SHARED", "swapped_shared_bytes", VU_COLUMN_SIZE, true},
	{"PATH", "path", VU_COLUMN_NAME, true},
	{0},
};

static void row(struct vu_printer *p, const struct vu_mem_guest *g, uint64_t page)
{
	const struct vu_pages_guest *m = &g->pages;
	bool no = !g->known, free_of_charge = !g->charge.known;
	const struct vu_cell cells[] = {
		{.s = g->name},
		{.u = m->processes},
		{.u = m->file_own * page, .none = no},
		{.u = m->file_shared * page, .none = no},
		{.u = (uint64_t)(m->file_fair * (double)page + 0.5), .none = no},
		{.u = g->charge.all, .none = free_of_charge},
		{.u = m->anon * page, .none = no},
		{.u = m->swapped * page, .none = no},
		{.u = g->charge.file, .none = free_of_charge},
		{.u = g->charge.mapped, .none = free_of_charge},
		{.u = (uint64_t)(m->anon_fair * (double)page + 0.5), .none = no},
		{.u = m->mapped * page, .none = no},
		{.u = m->swapped_shared * page, .none = no},
		{.s = g->path},
	};

	vu_printer_row(p, cells);
}

/* What is in physical pages: no sum of what stands above. */
static void total(struct vu_printer *p, const struct vu_mem *m)
{
	uint64_t processes = 0, swapped = 0, rss = 0, charged = 0, file = 0, mapped = 0, shared = 0;
	bool charges = true, no = m->hidden || m->n_unknown;

	for (size_t i = 0; i < m->n_guests; i++) {
		const struct vu_mem_guest *g = &m->guests[i];

		processes += g->pages.processes;
		swapped += g->pages.swapped;
		shared += g->pages.swapped_shared;
		rss += g->pages.mapped;
		charged += g->charge.all;
		file += g->charge.file;
		mapped += g->charge.mapped;
		charges = charges && (g->charge.known || !g->pages.processes);
	}
	const struct vu_cell cells[] = {
		{.s = "physical"},
		{.u = processes},
		{.u = (m->total.file - m->total.file_shared) * m->page_bytes, .none = no},
		{.u = m->total.file_shared * m->page_bytes, .none = no},
		{.u = m->total.file * m->page_bytes, .none = no},
		{.u = charged, .none = !charges},
		{.u = m->total.anon * m->page_bytes, .none = no},
		{.u = swapped * m->page_bytes, .none = no},
		{.u = file, .none = !charges},
		{.u = mapped, .none = !charges},
		{.u = m->total.anon * m->page_bytes, .none = no},
		{.u = rss * m->page_bytes, .none = no},
		{.u = shared * m->page_bytes, .none = no},
		{.none = true},
	};

	vu_printer_total(p, cells);
}

static int print(struct vu_ctx *ctx, const struct vu_mem *m, struct vu_printer *p)
{
	for (size_t i = 0; i < m->n_guests; i++)
		row(p, &m->guests[i], m->page_bytes);
	total(p, m);
	int e = vu_report_print_consume(ctx, p);

	if (m->hidden)
		vu_mem_say_hidden(ctx, "physical memory is unknown");
	for (size_t i = 0; !m->hidden && i < m->n_guests; i++)
		if (!m->guests[i].known)
			vu_message(
				ctx, "warning", m->guests[i].name,
				"a process of it holds its memory map locked: what the guest has is unknown",
				NULL);
	if (m->total.truncated)
		vu_message(ctx, "warning", NULL,
			   "guests share pages in too many different ways: shares are not exact",
			   NULL);
	return !e && (m->n_unknown || m->total.truncated) ? VU_EXIT_WARNED : e;
}

static int run_guests(struct vu_ctx *ctx, const struct options *o)
{
	struct vu_mem m = {0};
	struct vu_printer *p = NULL;
	int e = vu_report_printer(ctx, "guests", columns, &p);

	if (e)
		return e;
	int r = vu_ops_mem(&ctx->ops, ctx->operands, ctx->n_operands, &m);

	if (!r) {
		e = print(ctx, &m, p);
		if (o->html && (e == VU_EXIT_DONE || e == VU_EXIT_WARNED)) {
			int h = vu_mem_html_write(ctx, &m, o->html, o->library);

			e = h ? h : e;
		}
	} else {
		vu_printer_free(p);
		e = vu_message_result(ctx, r, "cannot look at the memory");
	}
	vu_mem_done(&m);
	return e;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;

	if (o->estimate && (o->prove || ctx->globals.columns)) {
		vu_message(ctx, "mem", NULL, "--estimate has tables of its own",
			   "leave --prove and --columns away");
		return VU_EXIT_USAGE;
	}
	if ((o->html && (o->estimate || o->prove)) || (o->library && !o->html)) {
		vu_message(ctx, "mem", NULL,
			   o->html ? "--html shows the memory of guests"
				   : "--library is for the page of --html",
			   o->html ? "leave --estimate and --prove away"
				   : "name a file with --html");
		return VU_EXIT_USAGE;
	}
	/* "--html=$UNSET" */
	if ((o->html && !*o->html) || (o->library && !*o->library)) {
		vu_message(ctx, o->library && !*o->library ? "--library" : "--html", NULL,
			   "the path is empty", "want a path");
		return VU_EXIT_USAGE;
	}
	return o->estimate ? vu_mem_estimate_run(ctx)
	       : o->prove  ? vu_mem_prove_run(ctx)
			   : run_guests(ctx, o);
}

const struct vu_cmd vu_cmd_mem = {
	.name = "mem",
	.summary = "Show which memory guests have and share, down to the physical page",
	.synopsis = "[--html FILE] [GUEST...] | --estimate [ROOT...] | --prove PATH PATH...",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
