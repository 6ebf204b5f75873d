/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-ksm-run.h"
#include "ops/ops-ksm.h"

#define SWITCH_ON "echo 1 >/sys/kernel/mm/ksm/run"

/* ---- status ---- */

static const struct vu_column columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"DOMAIN", "domain", VU_COLUMN_NAME, true},
	{"PROCESSES", "processes", VU_COLUMN_COUNT, false},
	{"OPTED-IN", "opted_in", VU_COLUMN_COUNT, false},
	{"ANON", "anonymous_bytes", VU_COLUMN_SIZE, false},
	{"MERGED", "merged_bytes", VU_COLUMN_SIZE, false},
	{"FREED", "freed_bytes", VU_COLUMN_SIZE, false},
	{"ZERO", "zero_bytes", VU_COLUMN_SIZE, false},
	{"COST", "cost_bytes", VU_COLUMN_SIZE, false},
	{0},
};

static void row(struct vu_printer *p, const struct vu_ksm_row *r, uint64_t page, const char *name,
		bool total)
{
	const struct vu_cell cells[] = {
		{.s = name},
		{.s = r->domain, .none = !r->domain},
		{.u = r->processes},
		{.u = r->opted_in},
		{.u = r->frames * page},
		{.u = r->merged * page},
		{.u = r->freed * page},
		{.u = r->zero_maps * page},
		{.u = r->rmap_items * VU_KSM_ITEM_BYTES},
	};

	if (total)
		vu_printer_total(p, cells);
	else
		vu_printer_row(p, cells);
}

static void signed_size(char *buf, size_t size, int64_t bytes)
{
	char text[VU_SIZE_TEXT];

	snprintf(buf, size, "%s%s", bytes < 0 ? "-" : "",
		 vu_size_text((uint64_t)(bytes < 0 ? -bytes : bytes), text));
}

/* What the table does not say. */
static void sentences(const struct vu_ksm_status *s)
{
	static const char *const runs[] = {"is off", "is merging", "is unmerging"};
	uint64_t page = s->page_bytes;
	char freed[VU_SIZE_TEXT], cost[VU_SIZE_TEXT], said[VU_SIZE_TEXT + 1];
	int64_t gain = (int64_t)(s->total.freed * page) -
		       (int64_t)(s->total.rmap_items * VU_KSM_ITEM_BYTES);

	if (!s->frames_known)
		puts("\nThe kernel does not show frames here: what is merged is not known.");
	signed_size(said, sizeof(said), gain);
	if (s->frames_known)
		printf("\nIn frames: %" PRIu64 " pages are in %" PRIu64
		       " places, which frees %s; the kernel needs %s for it: %s gained.\n",
		       s->total.merged, s->places, vu_size_text(s->total.freed * page, freed),
		       vu_size_text(s->total.rmap_items * VU_KSM_ITEM_BYTES, cost), said);
	signed_size(said, sizeof(said), s->kernel.profit_bytes);
	printf("KSM %s. The kernel's own counters: %" PRIu64 " pages freed by %" PRIu64
	       " places, %" PRIu64 " by the page of zeros, %s gained, after %" PRIu64
	       " full scans.\n",
	       s->kernel.run < VU_ARRAY_SIZE(runs) ? runs[s->kernel.run] : "?",
	       s->kernel.pages_sharing, s->kernel.pages_shared, s->kernel.zero_pages, said,
	       s->kernel.full_scans);
}

static void warn(struct vu_ctx *ctx, const struct vu_ksm_status *s)
{
	char text[160];

	if (s->total.opted_in && s->kernel.run != 1)
		vu_message(ctx, "note", NULL, "processes are opted in, but KSM is off",
			   "switch it on: " SWITCH_ON);
	if (s->n_domains < 2)
		return;
	snprintf(
		text, sizeof(text),
		"processes of %u domains are opted in: who measures how long his writes take learns "
		"whether another of them has a page of that content",
		s->n_domains);
	vu_message(ctx, "warning", NULL, text, "see ksm in vunify(8)");
}

static struct vu_json *json_row(const struct vu_ksm_row *r, uint64_t page)
{
	struct vu_json *j = vu_json_new();

	if (r->name)
		vu_json_name(j, "guest", r->name);
	if (r->domain)
		vu_json_name(j, "domain", r->domain);
	vu_json_count(j, "processes", r->processes);
	vu_json_count(j, "opted_in", r->opted_in);
	vu_json_count(j, "unknown", r->unknown);
	vu_json_count(j, "anonymous_bytes", r->frames * page);
	vu_json_count(j, "merged_bytes", r->merged * page);
	vu_json_count(j, "freed_bytes", r->freed * page);
	vu_json_count(j, "zero_bytes", r->zero_maps * page);
	vu_json_count(j, "cost_bytes", r->rmap_items * VU_KSM_ITEM_BYTES);
	vu_json_signed(j, "kernel_profit_bytes", r->kernel_profit_bytes);
	return j;
}

static int print_json(const struct vu_ksm_status *s)
{
	struct vu_json *j = vu_json_new(), *k = vu_json_new();
	int r;

	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_count(k, "run", s->kernel.run);
	vu_json_count(k, "pages_to_scan", s->kernel.pages_to_scan);
	vu_json_count(k, "sleep_ms", s->kernel.sleep_ms);
	vu_json_count(k, "full_scans", s->kernel.full_scans);
	vu_json_count(k, "pages_shared", s->kernel.pages_shared);
	vu_json_count(k, "pages_sharing", s->kernel.pages_sharing);
	vu_json_count(k, "zero_pages", s->kernel.zero_pages);
	vu_json_signed(k, "profit_bytes", s->kernel.profit_bytes);
	vu_json_put(j, "kernel", k);
	vu_json_bool(j, "frames_known", s->frames_known);
	vu_json_count(j, "places", s->places);
	vu_json_count(j, "domains", s->n_domains);
	vu_json_array(j, "guests");
	for (size_t i = 0; i < s->n; i++)
		vu_json_append(j, "guests", json_row(&s->row[i], s->page_bytes));
	vu_json_put(j, "total", json_row(&s->total, s->page_bytes));
	r = vu_json_print(j, stdout);
	vu_json_free(j);
	return r;
}

static int print_status(struct vu_ctx *ctx, const struct vu_ksm_status *s)
{
	struct vu_printer *p = NULL;
	int e = vu_report_printer(ctx, "guests", columns, &p);

	if (e)
		return e;
	for (size_t i = 0; i < s->n; i++)
		row(p, &s->row[i], s->page_bytes, s->row[i].name ? s->row[i].name : "(no guest)",
		    false);
	row(p, &s->total, s->page_bytes, "total", true);
	e = vu_report_print_consume(ctx, p);
	if (!e && !ctx->globals.no_legend && !ctx->globals.quiet)
		sentences(s);
	return e;
}

static int run_status(struct vu_ctx *ctx, void *options)
{
	struct vu_ksm_status s = {0};
	int r = vu_ops_ksm_status(&ctx->ops, ctx->operands, ctx->n_operands, &s);

	(void)options;
	if (r)
		return vu_message_result(ctx, r, "cannot tell what is merged");
	if (!ctx->globals.json)
		r = print_status(ctx, &s);
	else if (print_json(&s))
		r = vu_message_result(ctx, -EIO, "cannot print the result");
	warn(ctx, &s);
	vu_ksm_status_done(&s);
	return r;
}

static const struct vu_cmd cmd_status = {
	.name = "ksm status",
	.summary = "Show who is opted in to same-page merging (KSM), and what it brings and costs",
	.synopsis = "[GUEST...]",
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_TABLE,
	.max_operands = SIZE_MAX,
	.run = run_status,
};

/* ---- attach and detach ---- */

struct change_options {
	bool across_domains;
	bool suspend_seccomp;
};

#define OPT_ACROSS(type)                                                                           \
	{                                                                                          \
		.name = "across-domains", .kind = VU_OPT_FLAG,                                     \
		.help = "also when guests of another domain are opted in",                         \
		.offset = offsetof(struct type, across_domains)                                    \
	}
#define OPT_SECCOMP                                                                                \
	{                                                                                          \
		.name = "suspend-seccomp", .kind = VU_OPT_FLAG,                                    \
		.help = "also processes under a seccomp filter, which does not look at this call", \
		.offset = offsetof(struct change_options, suspend_seccomp)                         \
	}

static const struct vu_opt attach_opts[] = {OPT_ACROSS(change_options), OPT_SECCOMP, {0}};
static const struct vu_opt detach_opts[] = {OPT_SECCOMP, {0}};

static const char *const fates[] = {
	[VU_KSM_CHANGED] = "changed",
	[VU_KSM_ALREADY] = "already",
	[VU_KSM_LEFT] = "left",
};

static int print_change_json(const struct vu_ctx *ctx, const struct vu_ksm_change *c)
{
	struct vu_json *j = vu_json_new();
	int r;

	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_bool(j, "dry_run", ctx->dry_run);
	vu_json_count(j, "changed", c->changed);
	vu_json_count(j, "already", c->already);
	vu_json_count(j, "left", c->left);
	vu_json_count(j, "run", c->run);
	vu_json_array(j, "processes");
	for (size_t i = 0; i < c->n; i++) {
		struct vu_json *p = vu_json_new();

		vu_json_count(p, "pid", (uint64_t)c->row[i].pid);
		vu_json_name(p, "program", c->row[i].program);
		vu_json_name(p, "guest", c->row[i].guest);
		vu_json_text(p, "fate", fates[c->row[i].fate]);
		vu_json_text(p, "why", c->row[i].why);
		vu_json_append(j, "processes", p);
	}
	r = vu_json_print(j, stdout);
	vu_json_free(j);
	return r;
}

static void print_change(const struct vu_ctx *ctx, const struct vu_ksm_change *c, bool on)
{
	for (size_t i = 0; ctx->globals.verbose && i < c->n; i++) {
		_cleanup_free_ char *name = vu_escape(c->row[i].program, vu_escape_locale_utf8());

		printf("%s %d %s\n", fates[c->row[i].fate], (int)c->row[i].pid, name ? name : "?");
	}
	if (!ctx->globals.quiet)
		printf("%" PRIu64 " processes %s opted %s, %" PRIu64 " %s so before, %" PRIu64
		       " left as they are\n",
		       c->changed, ctx->dry_run ? "would be" : "are", on ? "in" : "out", c->already,
		       "were", c->left);
}

static void tell_left(struct vu_ctx *ctx, const struct vu_ksm_change *c)
{
	for (size_t i = 0; i < c->n; i++) {
		_cleanup_free_ char *on = NULL;

		if (c->row[i].fate != VU_KSM_LEFT)
			continue;
		if (asprintf(&on, "%s (process %d)", c->row[i].program, (int)c->row[i].pid) < 0)
			on = NULL;
		vu_message(ctx, "warning", on, c->row[i].why, NULL);
	}
}

static int change(struct vu_ctx *ctx, const struct change_options *given, bool on)
{
	struct vu_ksm_change_options o = {
		.operands = ctx->operands,
		.n = ctx->n_operands,
		.on = on,
		.dry_run = ctx->dry_run,
		.across_domains = given->across_domains,
		.suspend_seccomp = given->suspend_seccomp,
	};
	struct vu_ksm_change c = {0};
	int r = vu_ops_ksm_change(&ctx->ops, &o, &c);

	if (r)
		return vu_message_result(ctx, r, "cannot change who is opted in");
	tell_left(ctx, &c);
	if (!ctx->globals.json)
		print_change(ctx, &c, on);
	else if (print_change_json(ctx, &c))
		r = vu_message_result(ctx, -EIO, "cannot print the result");
	if (on && c.changed + c.already && c.run != 1)
		vu_message(ctx, "note", NULL, "KSM is off: nothing is merged yet",
			   "switch it on: " SWITCH_ON);
	if (!r)
		r = vu_report_exit(c.left, 0);
	vu_ksm_change_done(&c);
	return r;
}

static int run_attach(struct vu_ctx *ctx, void *options)
{
	return change(ctx, options, true);
}

static int run_detach(struct vu_ctx *ctx, void *options)
{
	return change(ctx, options, false);
}

static const struct vu_cmd cmd_attach = {
	.name = "ksm attach",
	.summary = "Opt processes that run in to same-page merging",
	.synopsis = "GUEST|PID...",
	.opts = attach_opts,
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_DRY_RUN,
	.options_size = sizeof(struct change_options),
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.run = run_attach,
};

static const struct vu_cmd cmd_detach = {
	.name = "ksm detach",
	.summary = "Opt processes that run out of it, and undo what was merged of theirs",
	.synopsis = "GUEST|PID...",
	.opts = detach_opts,
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_DRY_RUN,
	.options_size = sizeof(struct change_options),
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.run = run_detach,
};

/* ---- run ---- */

struct run_options {
	bool across_domains;
	bool preload;
};

static const struct vu_opt run_opts[] = {
	OPT_ACROSS(run_options),
	{.name = "preload",
	 .kind = VU_OPT_FLAG,
	 .help = "by a library that is loaded into the command, as it is done for Linux before 6.4",
	 .offset = offsetof(struct run_options, preload)},
	{0},
};

/* "--NAME=VALUE", or NULL with *failed. */
static char *option(const char *name, const char *value, bool *failed)
{
	char *s = NULL;

	if (asprintf(&s, "--%s=%s", name, value) < 0)
		*failed = true;
	return *failed ? NULL : s;
}

/* Runs in place of this program, which is not coming back if that worked. */
static int run_run(struct vu_ctx *ctx, void *options)
{
	const struct run_options *given = options;
	size_t n = ctx->n_operands - ctx->n_before, at = 0;
	char name[] = "vunify", verb[] = "run", dashes[] = "--";
	_cleanup_free_ char **vunify = calloc(n + 8, sizeof(*vunify));
	bool failed = !vunify;
	_cleanup_free_ char *catalog = option("catalog", ctx->config.catalog, &failed);
	_cleanup_free_ char *lock_dir = option("lock-dir", ctx->config.lock_dir, &failed);
	_cleanup_free_ char *config =
		ctx->globals.config ? option("config", ctx->globals.config, &failed) : NULL;
	struct vu_ksm_run_options o = {
		.guest = ctx->n_before ? ctx->operands[0] : NULL,
		.argv = ctx->operands + ctx->n_before,
		.vunify = vunify,
		.across_domains = given->across_domains,
		.preload = given->preload,
	};
	int error = 0, r;

	if (failed)
		return vu_message_result(ctx, -ENOMEM, "cannot run a command");
	if (ctx->n_before > 1) {
		vu_message(ctx, "ksm run", NULL, "only one guest can be named", "put -- behind it");
		return VU_EXIT_USAGE;
	}
	if (o.guest) {
		vunify[at++] = name;
		vunify[at++] = catalog;
		vunify[at++] = lock_dir;
		if (config)
			vunify[at++] = config;
		vunify[at++] = verb;
		vunify[at++] = o.guest;
		vunify[at++] = dashes;
		memcpy(vunify + at, o.argv, n * sizeof(*vunify));
	}
	r = vu_ops_ksm_run(&ctx->ops, &o, &error);
	r = vu_message_result(ctx, r, "cannot run a command");
	return !error ? r : error == ENOENT ? 127 : 126;
}

static const struct vu_cmd cmd_run = {
	.name = "ksm run",
	.summary = "Run a command whose memory, and that of all it starts, is opted in",
	.synopsis = "[GUEST] -- COMMAND...",
	.opts = run_opts,
	.flags = VU_CMD_DASHES,
	.options_size = sizeof(struct run_options),
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.run = run_run,
};

/* ---- all of them ---- */

static const struct vu_cmd *const subs[] = {&cmd_status, &cmd_run, &cmd_attach, &cmd_detach, NULL};

const struct vu_cmd vu_cmd_ksm = {
	.name = "ksm",
	.summary = "Merge equal pages of memory that are no file's (KSM)",
	.synopsis = "[status|run|attach|detach]",
	.subs = subs,
};
