/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/guests-discover.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-discover.h"

static const struct vu_column columns[] = {
	{"TOOL", "tool", VU_COLUMN_TEXT, false},
	{"NAME", "name", VU_COLUMN_NAME, false},
	{"PATH", "path", VU_COLUMN_NAME, false},
	{"UNIFY", "unify", VU_COLUMN_TEXT, false},
	{"FILESYSTEM", "filesystem", VU_COLUMN_TEXT, true},
	{"WHY", "why", VU_COLUMN_NAME, false},
	{0},
};

static void row(struct vu_printer *p, const struct vu_proposal *g)
{
	static const char *const verdicts[] = {
		[VU_PROPOSAL_YES] = "yes",
		[VU_PROPOSAL_TRUST] = "trust",
		[VU_PROPOSAL_DISK] = "disk",
		[VU_PROPOSAL_NO] = "no",
		[VU_PROPOSAL_REGISTERED] = "registered",
	};
	const struct vu_cell cells[] = {
		{.s = g->tool},
		{.s = g->name},
		{.s = g->path},
		{.s = verdicts[g->verdict]},
		{.s = g->fs_type, .none = !g->fs_type},
		{.s = g->why, .none = !g->why},
	};

	vu_printer_row(p, cells);
}

/* Can it be pasted into a shell as it is? */
static bool is_plain(const char *s)
{
	static const char ok[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+:@%=-";

	return !s[strspn(s, ok)];
}

/* What is to be typed to register them. The names are the tool's: a root is mostly called rootfs. */
static void print_commands(const struct vu_proposals *p)
{
	bool first = true;

	for (size_t i = 0; i < p->n; i++) {
		const struct vu_proposal *g = &p->v[i];

		if (g->verdict == VU_PROPOSAL_NO || g->verdict == VU_PROPOSAL_REGISTERED ||
		    !is_plain(g->path) || !is_plain(g->name) || *g->name == '-')
			continue;
		if (first)
			puts("\nTo register them, and then unify by `vunify scan`:");
		first = false;
		printf("  vunify guests add --name=%s %s\n", g->name, g->path);
	}
}

/* The JSON is one object: warnings go to stderr in any case. */
static void on_event(void *arg, const struct vu_event *e)
{
	vu_message_event(arg, e);
}

static void print_rest(const struct vu_proposals *p)
{
	if (p->n)
		print_commands(p);
	else
		puts("No guests of LXC, Incus, LXD, systemd-nspawn, podman, docker, schroot or VServer "
		     "are here.");
}

int vu_discover_run(struct vu_ctx *ctx)
{
	struct vu_proposals found = {0};
	struct vu_printer *p = NULL;
	int r, e = vu_report_printer(ctx, "proposals", columns, &p);

	if (e)
		return e;
	ctx->sink = (struct vu_sink){.fn = on_event, .arg = ctx};
	r = vu_ops_discover(&ctx->ops, &found);
	for (size_t i = 0; !r && i < found.n; i++)
		row(p, &found.v[i]);
	if (r) {
		vu_printer_free(p);
		e = vu_message_result(ctx, r, "cannot look for guests");
	} else {
		e = vu_report_print_consume(ctx, p);
		if (!e && !ctx->globals.json && !ctx->globals.quiet)
			print_rest(&found);
		if (!e)
			e = vu_report_exit(found.warnings, 0);
	}
	vu_proposals_done(&found);
	return e;
}
