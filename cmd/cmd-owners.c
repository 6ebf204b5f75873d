/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/hex.h"
#include "base/stop.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-owners.h"

struct options {
	bool full;
};

static const struct vu_opt opts[] = {
	{"full", 0, VU_OPT_FLAG, NULL, NULL,
	 "look at all files of all guests, also where no scan does",
	 offsetof(struct options, full)},
	{0},
};

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)
VU_DEFINE_CLEANUP_DONE(struct vu_held_report, vu_held_done)

/* "unified web1:/usr/bin/x" */
static void on_name(void *arg, const struct vu_held_name *n)
{
	const struct vu_ctx *ctx = arg;

	vu_progress_line_hide(ctx->line);
	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_json_new();

		vu_json_text(j, "type", "owner");
		vu_json_name(j, "guest", n->guest);
		vu_json_name(j, "path", n->path);
		vu_json_bool(j, "unified", n->unified);
		vu_json_print(j, stdout);
	} else {
		bool utf8 = vu_escape_locale_utf8();
		_cleanup_free_ char *guest = vu_escape(n->guest, utf8);
		_cleanup_free_ char *path = vu_escape(n->path, utf8);

		printf("%s %s:/%s\n", n->unified ? "unified" : "private", guest ? guest : "",
		       path ? path : "");
	}
	vu_progress_line_show(ctx->line);
}

static struct vu_json *guest_json(const struct vu_held_guest *g)
{
	struct vu_json *j = vu_json_new();
	char when[VU_TIME_TEXT];

	vu_json_name(j, "guest", g->name);
	vu_json_count(j, "unified", g->unified);
	vu_json_count(j, "private", g->private);
	vu_json_count(j, "outdated", g->outdated);
	vu_json_count(j, "unread", g->unread);
	vu_json_text(j, "scanned", g->looked_ns ? vu_time_text(g->looked_ns, true, when) : NULL);
	vu_json_bool(j, "stale", g->stale);
	return j;
}

static int print_json(const struct vu_held_report *r, const char *digest)
{
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_json_new();

	vu_json_text(j, "type", "summary");
	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_text(j, "command", "owners");
	vu_json_bool(j, "stopped", vu_stop_requested());
	vu_json_text(j, "sha256", digest);
	if (r->size_known)
		vu_json_count(j, "size", r->size);
	vu_json_array(j, "guests");
	for (size_t i = 0; i < r->n_guests; i++)
		vu_json_append(j, "guests", guest_json(&r->guests[i]));
	vu_json_count(j, "unread", r->unread);
	vu_json_count(j, "unread_bytes", r->unread_bytes);
	vu_json_count(j, "read_files", r->read);
	vu_json_count(j, "read_bytes", r->read_bytes);
	vu_json_count(j, "warnings", r->warnings);
	return vu_json_print(j, stdout);
}

/* The oldest scan says how old the answer is. */
static void print_text(const struct vu_held_report *r, const char *digest, bool full)
{
	uint64_t unified = 0, private = 0, holders = 0, oldest = UINT64_MAX;
	char size[VU_SIZE_TEXT], when[VU_TIME_TEXT];

	for (size_t i = 0; i < r->n_guests; i++) {
		unified += r->guests[i].unified;
		private += r->guests[i].private;
		holders += r->guests[i].unified || r->guests[i].private;
		oldest = VU_MIN(oldest, r->guests[i].looked_ns);
	}
	printf("sha256 %s%s%s: %" PRIu64 " of %zu guests hold it by %" PRIu64 " names (%" PRIu64
	       " unified, %" PRIu64 " private)\n",
	       digest, r->size_known ? ", " : "", r->size_known ? vu_size_text(r->size, size) : "",
	       holders, r->n_guests, unified + private, unified, private);
	if (full)
		puts("all files were looked at now");
	else if (r->n_guests)
		printf("as of the guests' last scans (%s or later), without excluded places; --full "
		       "looks at all files\n",
		       oldest ? vu_time_text(oldest, false, when) : "never");
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *o = options;
	struct vu_held_options h = {
		.what = ctx->operands[0],
		.full = o->full,
		.name = on_name,
		.arg = ctx,
	};
	vu_cleanup(vu_held_done_p) struct vu_held_report report = {0};
	char digest[VU_DIGEST_HEX + 1];

	vu_report_begin(ctx);
	int r = vu_ops_owners(&ctx->ops, &h, &report);

	vu_report_end(ctx);
	vu_hex_encode(report.digest.b, VU_DIGEST_BYTES, digest);
	if (!r && ctx->globals.json)
		r = print_json(&report, digest);
	else if (!r && !ctx->globals.quiet)
		print_text(&report, digest, o->full);
	return r ? vu_message_result(ctx, r, "cannot tell who holds it")
		 : vu_report_exit(report.warnings, 0);
}

const struct vu_cmd vu_cmd_owners = {
	.name = "owners",
	.summary = "Say which guests hold a content",
	.synopsis = "PATH|GUEST:PATH|DIGEST",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON,
	.options_size = sizeof(struct options),
	.min_operands = 1,
	.max_operands = 1,
	.run = run,
};
