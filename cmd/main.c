/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/descriptors.h"
#include "base/stop.h"
#include "cmd/cmd.h"
#include "cmd/help.h"
#include "cmd/message.h"
#include "link/guardian.h"
#include "ops/rules.h"

static const struct vu_cmd *const cmds[] = {
	&vu_cmd_scan,	 &vu_cmd_remerge,   &vu_cmd_unmerge,
	&vu_cmd_recover, &vu_cmd_propagate, &vu_cmd_template,
	&vu_cmd_guests,	 &vu_cmd_clone,	    &vu_cmd_remove,
	&vu_cmd_export,	 &vu_cmd_import,    &vu_cmd_run,
	&vu_cmd_cowd,	 &vu_cmd_status,    &vu_cmd_df,
	&vu_cmd_why,	 &vu_cmd_diff,	    &vu_cmd_owners,
	&vu_cmd_history, &vu_cmd_mem,	    &vu_cmd_stale,
	&vu_cmd_pages,	 &vu_cmd_ksm,	    &vu_cmd_verify,
	&vu_cmd_gc,	 &vu_cmd_doctor,    NULL,
};

static const struct vu_opt globals[] = {
	{"config", 0, VU_OPT_STRING, "FILE", NULL, "read this configuration",
	 offsetof(struct vu_globals, config)},
	{"catalog", 0, VU_OPT_STRING, "FILE", NULL, "use this catalog",
	 offsetof(struct vu_globals, catalog)},
	{"lock-dir", 0, VU_OPT_STRING, "DIR", NULL, "keep the lock in this directory",
	 offsetof(struct vu_globals, lock_dir)},
	{"json", 0, VU_OPT_FLAG, NULL, NULL, "print JSON: an object, or for a run one a line",
	 offsetof(struct vu_globals, json)},
	{"columns", 0, VU_OPT_STRING, "LIST", NULL, "show these columns: names with commas between",
	 offsetof(struct vu_globals, columns)},
	{"no-legend", 0, VU_OPT_FLAG, NULL, NULL, "print no table heads",
	 offsetof(struct vu_globals, no_legend)},
	{"no-progress", 0, VU_OPT_FLAG, NULL, NULL, "show no progress on the terminal",
	 offsetof(struct vu_globals, no_progress)},
	{"quiet", 'q', VU_OPT_FLAG, NULL, NULL, "print no summary and no progress",
	 offsetof(struct vu_globals, quiet)},
	{"verbose", 'v', VU_OPT_FLAG, NULL, NULL, "print a line for each file",
	 offsetof(struct vu_globals, verbose)},
	{"help", 'h', VU_OPT_FLAG, NULL, NULL, "show this help", offsetof(struct vu_globals, help)},
	{"version", 'V', VU_OPT_FLAG, NULL, NULL, "show the version",
	 offsetof(struct vu_globals, version)},
	{"dump-options", 0, VU_OPT_FLAG, NULL, NULL, NULL,
	 offsetof(struct vu_globals, dump_options)},
	{0},
};

static void on_signal(int signo)
{
	vu_stop_request(signo);
}

static void set_signals(void)
{
	struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	/* A reader of stdout that goes away must not end a run in the middle. */
	sigaction(SIGPIPE, &ignore, NULL);
	/* Nor a limit on the size of files: the write fails, and that is told. */
	sigaction(SIGXFSZ, &ignore, NULL);
	/* Sent for every lease that is being broken. */
	sigaction(SIGIO, &ignore, NULL);
}

static int usage(struct vu_ctx *ctx, struct vu_opt_error *e)
{
	if (!e->todo && asprintf(&e->todo, "see 'vunify %s%s--help'",
				 ctx->cmd ? ctx->cmd->name : "", ctx->cmd ? " " : "") < 0)
		e->todo = NULL;
	vu_message(ctx, ctx->cmd ? ctx->cmd->name : NULL, NULL, e->what ? e->what : "out of memory",
		   e->todo);
	vu_opt_error_done(e);
	return VU_EXIT_USAGE;
}

/* The part of a command's name that is typed: "add" of "guests add". */
static const char *last_word(const struct vu_cmd *c)
{
	const char *space = strrchr(c->name, ' ');

	return space ? space + 1 : c->name;
}

static const struct vu_cmd *find(const struct vu_cmd *const *list, const char *name)
{
	for (; *list; list++)
		if (!strcmp(last_word(*list), name))
			return *list;
	return NULL;
}

static int unknown(struct vu_ctx *ctx, const struct vu_cmd *const *list, const char *name)
{
	_cleanup_free_ char *todo = NULL;
	const char *best = NULL;
	size_t best_d = SIZE_MAX;

	for (; *list && strlen(name) < 64; list++) {
		size_t d = vu_options_distance(name, last_word(*list));

		if (d < best_d) {
			best_d = d;
			best = last_word(*list);
		}
	}
	if (!best || !vu_options_near(name, best_d) ||
	    asprintf(&todo, "did you mean '%s'?", best) < 0)
		todo = strdup("see 'vunify --help'");
	vu_message(ctx, "there is no command", ctx->cmd ? ctx->cmd->name : NULL, name, todo);
	return VU_EXIT_USAGE;
}

/* Finds the command at argv (and its sub) and returns how many words it took, or 0 with *ret. */
static size_t find_cmd(struct vu_ctx *ctx, char **argv, int *ret)
{
	const struct vu_cmd *c = find(cmds, argv[0]);

	if (!c) {
		*ret = unknown(ctx, cmds, argv[0]);
		return 0;
	}
	ctx->cmd = c;
	if (!c->subs)
		return 1;
	/* "guests" and "guests --json" list, "guests --help" is about all of them. */
	if (!argv[1] || argv[1][0] == '-')
		return 1;
	c = find(c->subs, argv[1]);
	if (!c) {
		*ret = unknown(ctx, ctx->cmd->subs, argv[1]);
		return 0;
	}
	ctx->cmd = c;
	return 2;
}

static int check_operands(struct vu_ctx *ctx)
{
	struct vu_opt_error e = {0};
	const struct vu_cmd *c = ctx->cmd;

	if (ctx->n_operands >= c->min_operands && ctx->n_operands <= c->max_operands &&
	    (!(c->flags & VU_CMD_DASHES) || ctx->n_before < ctx->n_operands))
		return 0;
	if (asprintf(&e.what, "%s operands",
		     ctx->n_operands > c->max_operands ? "too many" : "too few") < 0)
		e.what = NULL;
	if (asprintf(&e.todo, "usage: vunify %s%s%s", c->name, *c->synopsis ? " " : "",
		     c->synopsis) < 0)
		e.todo = NULL;
	return usage(ctx, &e);
}

static int check_flags(struct vu_ctx *ctx)
{
	unsigned flags = ctx->cmd->flags;
	const struct vu_globals *g = &ctx->globals;

	if ((g->json && !(flags & VU_CMD_JSON)) || (g->columns && !(flags & VU_CMD_TABLE))) {
		struct vu_opt_error e = {.what = strdup(g->columns && !(flags & VU_CMD_TABLE)
								? "there are no columns to choose"
								: "there is no JSON")};

		return usage(ctx, &e);
	}
	if (flags & VU_CMD_ROOT && geteuid() != 0) {
		vu_message(ctx, ctx->cmd->name, NULL, "needs root", "run it with sudo");
		return VU_EXIT_FAILED;
	}
	return 0;
}

static int load_config(struct vu_ctx *ctx)
{
	struct vu_config_error e = {0};
	_cleanup_free_ char *on = NULL;
	int r = vu_config_load(ctx->globals.config, vu_rules_wrong, &ctx->config, &e);

	if (r == VU_CONFIG_BAD) {
		if (asprintf(&on, e.line ? "%s:%u%s%s" : "%s%.0u%s%s", e.file ? e.file : "", e.line,
			     e.key ? ": " : "", e.key ? e.key : "") < 0)
			on = NULL;
		vu_message(ctx, "bad configuration", on, e.why, "nothing of it was applied");
		vu_config_error_done(&e);
		return VU_EXIT_USAGE;
	}
	if (r) {
		vu_message(ctx, "cannot read the configuration", ctx->globals.config, strerror(-r),
			   NULL);
		return r == -ENOMEM ? VU_EXIT_FAILED : VU_EXIT_USAGE;
	}
	return 0;
}

static int replace(char **to, const char *value)
{
	char *copy;

	if (!value)
		return 0;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

/* "--catalog=$UNSET" must not mean whatever an empty path is taken for. */
static int check_paths(struct vu_ctx *ctx)
{
	const char *const paths[] = {ctx->globals.config, ctx->globals.catalog,
				     ctx->globals.lock_dir};

	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++)
		if (paths[i] && !*paths[i]) {
			struct vu_opt_error e = {
				.what = strdup("--config, --catalog and --lock-dir want a path")};

			return usage(ctx, &e);
		}
	return 0;
}

static int set_up(struct vu_ctx *ctx)
{
	int r = check_paths(ctx);

	r = r ? r : load_config(ctx);
	if (r)
		return r;
	if (replace(&ctx->config.catalog, ctx->globals.catalog) ||
	    replace(&ctx->config.lock_dir, ctx->globals.lock_dir))
		return vu_message_result(ctx, -ENOMEM, "cannot start");
	ctx->ops = (struct vu_ops){
		.config = &ctx->config,
		.sink = &ctx->sink,
		.progress = &ctx->progress,
		.problem = &ctx->problem,
	};
	if (ctx->cmd->flags & VU_CMD_CATALOG_READ && access(ctx->config.catalog, F_OK) &&
	    (errno == ENOENT || errno == ENOTDIR)) {
		vu_message(ctx, ctx->cmd->name, ctx->config.catalog, "there is no catalog yet",
			   "run 'vunify scan ROOT...' first");
		return VU_EXIT_NOT_SET_UP;
	}
	return 0;
}

/* Said by whoever closed what the worker had open; the exit code of all. */
static int tell_end(struct vu_ctx *ctx, const struct vu_guardian_end *end)
{
	_cleanup_free_ char *why = NULL;
	const struct vu_ledger_closed *c = &end->closed;

	if (!end->closing)
		return end->exit_code;
	if (asprintf(&why,
		     "%s%s; %u moments were open and have been closed (%u of them failed, in %u "
		     "somebody got in, %u put right)",
		     end->signal ? "its worker was killed: " : "its worker ended too early",
		     end->signal ? strsignal(end->signal) : "", c->moments, c->failed, c->slips,
		     c->put_right) < 0)
		why = NULL;
	vu_message(ctx, ctx->cmd->name, NULL, why,
		   "run 'vunify recover', or the same again: it goes on from there");
	return c->failed || c->slips ? VU_EXIT_DAMAGE : end->exit_code;
}

#define WORKERS_MORE 1000 /* workers that take the place of one that was killed */
#define DESCRIPTORS                                                                                \
	20000 /* with 1024 batches are small, and each waits for the end of its cool-down */

/* Runs the command, in a process of its own if it changes guests. */
static int run_guarded(struct vu_ctx *ctx, const struct vu_cmd *c, void *options)
{
	struct vu_guardian_end end;
	int r;

	if (!(c->flags & VU_CMD_GUARDED) || ctx->dry_run)
		return c->run(ctx, options);
	ctx->shared = c->share ? c->share() : NULL;
	struct vu_guardian_again again = {
		.times = WORKERS_MORE,
		.keeps = c->keeps,
		.arg = ctx->shared,
	};

	/* What one that goes on starts inherits the limit. The guardian, which shares descriptors, has it too. */
	if (!c->share)
		vu_descriptors_raise(DESCRIPTORS);
	fflush(stdout);
	fflush(stderr);
	r = vu_guardian_split(ctx->shared ? &again : NULL, &ctx->ops.ledger, &end);
	if (r == VU_GUARDIAN_ENDED)
		return tell_end(ctx, &end);
	if (r < 0)
		vu_message(ctx, "warning", c->name, strerror(-r),
			   "it runs without a guardian: if it is killed, run 'vunify recover' at "
			   "once");
	return c->run(ctx, options);
}

/*
 * Parses the options of a command and moves its operands to the front of argv. Where "--" divides these, what is behind
 * it is left as it is.
 */
static int parse(struct vu_ctx *ctx, const struct vu_cmd *c, char **argv,
		 const struct vu_opt_set *sets, size_t n_sets, struct vu_opt_error *e)
{
	size_t at = 0, n = 0;
	int r;

	while (argv[at] && (!(c->flags & VU_CMD_DASHES) || strcmp(argv[at], "--") != 0))
		at++;
	char **behind = argv[at] ? argv + at + 1 : argv + at;

	argv[at] = NULL;
	r = vu_options_parse(argv, false, sets, n_sets, &n, e);
	ctx->operands = argv;
	ctx->n_before = n;
	while (*behind)
		argv[n++] = *behind++;
	argv[n] = NULL;
	ctx->n_operands = n;
	return r;
}

static int run_cmd(struct vu_ctx *ctx, char **argv)
{
	const struct vu_cmd *c = ctx->cmd->subs ? ctx->cmd->subs[0] : ctx->cmd;
	_cleanup_free_ void *options = calloc(1, c->options_size + 1);
	const struct vu_opt_set sets[] = {
		{c->opts, options},
		{globals, &ctx->globals},
		{c->flags & VU_CMD_DRY_RUN ? vu_help_dry_run : NULL, &ctx->dry_run},
	};
	struct vu_opt_error e = {0};
	int r;

	if (!options)
		return vu_message_result(ctx, -ENOMEM, "cannot start");
	r = parse(ctx, c, argv, sets, VU_ARRAY_SIZE(sets), &e);
	if (r) {
		r = usage(ctx, &e);
	} else if (ctx->globals.help) {
		vu_help_cmd(ctx->cmd, globals);
	} else if (ctx->globals.version) {
		puts("vunify " VU_VERSION);
	} else {
		ctx->cmd = c;
		r = check_operands(ctx);
		r = r ? r : check_flags(ctx);
		r = r ? r : set_up(ctx);
		r = r ? r : run_guarded(ctx, c, options);
	}
	vu_options_done(c->opts, options);
	return r;
}

static int start(struct vu_ctx *ctx, char **argv)
{
	const struct vu_opt_set set = {globals, &ctx->globals};
	struct vu_opt_error e = {0};
	size_t n = 0;
	int r = vu_options_parse(argv, true, &set, 1, &n, &e);

	if (r)
		return usage(ctx, &e);
	argv += n;
	if (ctx->globals.dump_options) {
		vu_help_dump(cmds, globals);
	} else if (ctx->globals.version) {
		puts("vunify " VU_VERSION);
	} else if (*argv && !strcmp(*argv, "help") && argv[1]) {
		n = find_cmd(ctx, argv + 1, &r);
		if (!n)
			return r;
		vu_help_cmd(ctx->cmd, globals);
	} else if (*argv && strcmp(*argv, "help") != 0) {
		n = find_cmd(ctx, argv, &r);
		return n ? run_cmd(ctx, argv + n) : r;
	} else if (ctx->globals.help || *argv) {
		vu_help(cmds, globals);
	} else {
		e.what = strdup("there is no command given");
		return usage(ctx, &e);
	}
	return VU_EXIT_DONE;
}

/* What was printed must have arrived: a full disk is a failure, a reader that left is none of ours. */
static int close_stdout(struct vu_ctx *ctx, int exit_code)
{
	bool bad = ferror(stdout);

	errno = 0;
	if (fflush(stdout))
		bad = true;
	if (!bad)
		return exit_code;
	if (errno && errno != EPIPE)
		vu_message(ctx, "cannot print the result", NULL, strerror(errno), NULL);
	return exit_code ? exit_code : VU_EXIT_FAILED;
}

int main(int argc, char **argv)
{
	struct vu_ctx ctx = {0};
	int r;

	/*
	 * What the stages of a scan free goes back at once. By default malloc(3) raises this threshold
	 * with the first large block that is freed, and keeps what each reader had from then on.
	 */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	set_signals();
	r = start(&ctx, argv + (argc > 0));
	r = close_stdout(&ctx, r);
	vu_problem_done(&ctx.problem);
	vu_config_done(&ctx.config);
	return r;
}
