/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/guests-discover.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-guests.h"

struct options {
	const char *name;
	const char *domain;
	struct vu_opt_list rules;
	bool no_rules;
	int trust;
};

#define OPT_NAME                                                                                   \
	{                                                                                          \
		"name", 0, VU_OPT_STRING, "NAME", NULL, "what the guest is called",                \
			offsetof(struct options, name)                                             \
	}
#define OPT_DOMAIN                                                                                 \
	{                                                                                          \
		"domain", 0, VU_OPT_STRING, "DOMAIN", NULL,                                        \
			"share only with guests of this domain; empty: the default one",           \
			offsetof(struct options, domain)                                           \
	}
#define OPT_RULE                                                                                       \
	{                                                                                              \
		"rule", 0, VU_OPT_LIST, "RULE", NULL,                                                  \
			"'exclude PATTERN' or 'include PATTERN', before the common rules; repeatable", \
			offsetof(struct options, rules)                                                \
	}
#define OPT_TRUST                                                                                  \
	{                                                                                          \
		"trust", 0, VU_OPT_CHOICE, "WHETHER", "yes|no",                                    \
			"whether one admin owns it and all others of its domain",                  \
			offsetof(struct options, trust)                                            \
	}

static const struct vu_opt add_opts[] = {OPT_NAME, OPT_DOMAIN, OPT_RULE, OPT_TRUST, {0}};

static const struct vu_opt set_opts[] = {
	OPT_NAME,
	OPT_DOMAIN,
	OPT_RULE,
	{"no-rules", 0, VU_OPT_FLAG, NULL, NULL, "forget the guest's rules; --rule adds after that",
	 offsetof(struct options, no_rules)},
	OPT_TRUST,
	{0},
};

struct list_options {
	bool discover;
};

static const struct vu_opt list_opts[] = {
	{"discover", 0, VU_OPT_FLAG, NULL, NULL,
	 "propose the guests that LXC, Incus and others have here, and say which can be unified",
	 offsetof(struct list_options, discover)},
	{0},
};

static const struct vu_column columns[] = {
	{"GUEST", "guest", VU_COLUMN_NAME, false},
	{"PATH", "path", VU_COLUMN_NAME, false},
	{"DOMAIN", "domain", VU_COLUMN_NAME, false},
	{"TRUST", "trust", VU_COLUMN_BOOL, false},
	{"TEMPLATE", "template", VU_COLUMN_BOOL, false},
	{"RULES", "rules", VU_COLUMN_NAME, false},
	{"INODE", "inode", VU_COLUMN_COUNT, true},
	{"FILESYSTEM", "filesystem", VU_COLUMN_NAME, true},
	{0},
};

/* The rules in one line, "; " between them; NULL without memory. */
static char *join(char *const *rules)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (size_t i = 0; rules && rules[i]; i++)
		fprintf(f, "%s%s", i ? "; " : "", rules[i]);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static void row(struct vu_printer *p, const struct vu_guest *g)
{
	_cleanup_free_ char *rules = join(g->rules);
	const struct vu_cell cells[] = {
		{.s = g->name},
		{.s = g->path},
		{.s = g->domain ? g->domain : ""},
		{.u = g->trust},
		{.u = g->template},
		{.s = rules ? rules : "?"},
		{.u = g->ino},
		{.s = g->fs_id, .none = !g->fs_id},
	};

	vu_printer_row(p, cells);
}

static int list_run(struct vu_ctx *ctx, void *options)
{
	const struct list_options *o = options;
	struct vu_guests gs = {0};
	struct vu_printer *p = NULL;

	if (o->discover)
		return vu_discover_run(ctx);
	int r, e = vu_report_printer(ctx, "guests", columns, &p);

	if (e)
		return e;
	r = vu_ops_guests_list(&ctx->ops, &gs);
	if (r) {
		vu_printer_free(p);
		return vu_message_result(ctx, r, "cannot list the guests");
	}
	for (size_t i = 0; i < gs.n; i++)
		row(p, &gs.v[i]);
	e = vu_report_print_consume(ctx, p);
	vu_guests_done(&gs);
	return e;
}

static struct vu_guest_change change_of(const struct options *o)
{
	return (struct vu_guest_change){
		.name = o->name,
		.domain = o->domain,
		.rules = (char *const *)(uintptr_t)o->rules.v,
		.clear_rules = o->no_rules,
		.set_trust = o->trust != 0,
		.trust = o->trust == 1,
	};
}

/* Prints the guest that something was done to, and frees it. */
static int done(struct vu_ctx *ctx, struct vu_guest *g)
{
	struct vu_printer *p = NULL;
	int e = 0;

	if (!ctx->globals.quiet || ctx->globals.json) {
		e = vu_report_printer(ctx, "guests", columns, &p);
		if (!e) {
			row(p, g);
			e = vu_report_print_consume(ctx, p);
		}
	}
	vu_guest_done(g);
	return e;
}

/* A wrong --columns must show before anything is done. */
static int check_columns(struct vu_ctx *ctx)
{
	struct vu_printer *p = NULL;
	int e = vu_report_printer(ctx, "guests", columns, &p);

	vu_printer_free(p);
	return e;
}

static int add_run(struct vu_ctx *ctx, void *options)
{
	struct vu_guest_change change = change_of(options);
	struct vu_guest g = {0};
	int r = check_columns(ctx);

	if (r)
		return r;
	r = vu_ops_guests_add(&ctx->ops, ctx->operands[0], &change, &g);
	return r ? vu_message_result(ctx, r, "cannot add the guest") : done(ctx, &g);
}

static int remove_run(struct vu_ctx *ctx, void *options)
{
	struct vu_guest g = {0};
	int r = check_columns(ctx);

	(void)options;
	if (r)
		return r;
	r = vu_ops_guests_remove(&ctx->ops, ctx->operands[0], &g);
	return r ? vu_message_result(ctx, r, "cannot remove the guest") : done(ctx, &g);
}

static int set_run(struct vu_ctx *ctx, void *options)
{
	struct vu_guest_change change = change_of(options);
	struct vu_guest g = {0};
	int r = check_columns(ctx);

	if (r)
		return r;
	if (!change.name && !change.domain && !change.rules && !change.clear_rules &&
	    !change.set_trust) {
		vu_message(ctx, "guests set", NULL, "nothing to set",
			   "say --name, --domain, --rule, --no-rules or --trust");
		return VU_EXIT_USAGE;
	}
	r = vu_ops_guests_set(&ctx->ops, ctx->operands[0], &change, &g);
	return r ? vu_message_result(ctx, r, "cannot change the guest") : done(ctx, &g);
}

static const struct vu_cmd cmd_list = {
	.name = "guests list",
	.summary = "List the registered guests",
	.synopsis = "",
	.opts = list_opts,
	.flags = VU_CMD_ROOT | VU_CMD_JSON | VU_CMD_TABLE,
	.options_size = sizeof(struct list_options),
	.run = list_run,
};

static const struct vu_cmd cmd_add = {
	.name = "guests add",
	.summary = "Register a root as a guest",
	.synopsis = "ROOT",
	.opts = add_opts,
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_WRITE | VU_CMD_JSON | VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.min_operands = 1,
	.max_operands = 1,
	.run = add_run,
};

static const struct vu_cmd cmd_remove = {
	.name = "guests remove",
	.summary = "Forget a guest; its unified files stay so",
	.synopsis = "GUEST",
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON | VU_CMD_TABLE,
	.min_operands = 1,
	.max_operands = 1,
	.run = remove_run,
};

static const struct vu_cmd cmd_set = {
	.name = "guests set",
	.summary = "Change a guest's name, domain, rules or trust",
	.synopsis = "GUEST",
	.opts = set_opts,
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON | VU_CMD_TABLE,
	.options_size = sizeof(struct options),
	.min_operands = 1,
	.max_operands = 1,
	.run = set_run,
};

static const struct vu_cmd *const subs[] = {&cmd_list, &cmd_add, &cmd_remove, &cmd_set, NULL};

const struct vu_cmd vu_cmd_guests = {
	.name = "guests",
	.summary = "List the guests, add, remove or change one",
	.synopsis = "[list|add|remove|set]",
	.subs = subs,
};
