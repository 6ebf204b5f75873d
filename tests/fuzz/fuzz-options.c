/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: the first byte chooses the command, NULs part the arguments. Values lie within what
 * the table allows; operands are arguments, in their order; and behind "--" they are the same operands.
 */
#include "fuzz.h"

int vunify_main(int argc, char **argv);

#define main vunify_main
#include "cmd/main.c"
#undef main

#define ARGS 24

static const struct vu_cmd *choose(uint8_t n)
{
	const struct vu_cmd *c = cmds[n % (VU_ARRAY_SIZE(cmds) - 1)];
	size_t subs = 0;

	while (c->subs && c->subs[subs])
		subs++;
	return subs ? c->subs[n / 16 % subs] : c;
}

static void check_values(const struct vu_opt *o, const void *base)
{
	for (; o && o->name; o++) {
		const void *at = (const char *)base + o->offset;
		const struct vu_opt_number *number = at;
		const struct vu_opt_list *list = at;
		int choices = 1;

		for (const char *c = o->choices; c && *c; c++)
			choices += *c == '|';
		switch (o->kind) {
		case VU_OPT_CHOICE:
			CHECK(*(const int *)at >= 0 && *(const int *)at <= choices);
			break;
		case VU_OPT_NUMBER:
			CHECK(!number->set || (number->value >= o->min && number->value <= o->max));
			break;
		case VU_OPT_LIST:
			for (size_t i = 0; i < list->n; i++)
				CHECK(list->v[i]);
			CHECK(!list->v || !list->v[list->n]);
			break;
		default:
			break;
		}
	}
}

static size_t take_args(struct input *in, char **argv)
{
	size_t n = 0;

	while (in->n && n < ARGS)
		argv[n++] = take_until(in, 0);
	argv[n] = NULL;
	return n;
}

/* Whatever the options before it are, this is none, and no option's value. */
static bool is_operand(char *const *all, size_t i)
{
	return (all[i][0] != '-' || !all[i][1]) && (!i || is_operand(all, i - 1));
}

/* Options have been parsed away: nothing of them is left. */
static void check_rest(char *const *argv, char *const *all, size_t n)
{
	char *again[ARGS + 2] = {(char[]){"--"}};
	const struct vu_opt_set none = {0};
	struct vu_opt_error e = {0};
	size_t at = 0, m = 0;

	for (size_t i = 0; i < n; i++) {
		for (; all[at] && all[at] != argv[i]; at++)
			CHECK(!is_operand(all, at));
		CHECK(all[at++]);
		again[i + 1] = argv[i];
	}
	for (; all[at]; at++)
		CHECK(!is_operand(all, at));
	CHECK(!argv[n]);
	CHECK(!vu_options_parse(again, false, &none, 1, &m, &e) && m == n);
	for (size_t i = 0; i < n; i++)
		CHECK(again[i] == argv[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const struct vu_cmd *c = choose(take_byte(&in));
	bool first = take_byte(&in) & 1;
	char *all[ARGS + 1], *argv[ARGS + 1];
	size_t n = take_args(&in, all), got = 0;
	_cleanup_free_ void *options = calloc(1, c->options_size + 1);
	struct vu_ctx ctx = {0};
	struct vu_opt_error e = {0};
	const struct vu_opt_set sets[] = {
		{c->opts, options},
		{globals, &ctx.globals},
		{c->flags & VU_CMD_DRY_RUN ? vu_help_dry_run : NULL, &ctx.dry_run},
	};

	memcpy(argv, all, sizeof(all[0]) * (n + 1));
	int r = vu_options_parse(argv, first, sets, VU_ARRAY_SIZE(sets), &got, &e);

	CHECK(r == 0 || r == VU_OPTIONS_BAD);
	CHECK(!r == !e.what);
	if (r)
		CHECK(*e.what);
	else if (first)
		CHECK(got <= n && argv[got] == all[got]);
	else
		check_rest(argv, all, got);
	if (!r)
		check_values(c->opts, options);
	vu_options_done(c->opts, options);
	vu_opt_error_done(&e);
	for (size_t i = 0; i < n; i++)
		free(all[i]);
	return 0;
}
