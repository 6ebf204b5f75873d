/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/cowd-lsm.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "cow/notify.h"
#include "cow/profile.h"
#include "ops/answer-msg.h"
#include "ops/cowd-socket.h"
#include "ops/ops-answer.h"
#include "ops/ops-cowd.h"
#include "ops/ops-serve.h"

/* ---- run: takes listeners ---- */

struct run_options {
	const char *socket, *lxc_socket;
	bool lsm;
	struct vu_cowd_lsm guard;
};

static const struct vu_opt run_opts[] = {
	{"socket", 0, VU_OPT_STRING, "PATH", NULL,
	 "listen there, where no service manager passes a socket",
	 offsetof(struct run_options, socket)},
	{"lxc-socket", 0, VU_OPT_STRING, "PATH", NULL, "the same, for LXC's monitors",
	 offsetof(struct run_options, lxc_socket)},
	{"lsm", 0, VU_OPT_FLAG, NULL, NULL,
	 "instead, have a BPF program keep unified files from being changed (see vunify(8))",
	 offsetof(struct run_options, lsm)},
	VU_COWD_LSM_OPTS(struct run_options, guard),
	{0},
};

#define SERVER_ARGS 14

struct command {
	char *v[SERVER_ARGS];
	size_t n;
	size_t owned; /* from v[1] on */
};

/* What a process is started with that does the work for one guest: the global options that this one was. */
static void make_command(const struct vu_ctx *ctx, char *sub, struct command *ret)
{
	const struct {
		const char *name, *value;
	} options[] = {
		{"config", ctx->globals.config},
		{"catalog", ctx->globals.catalog},
		{"lock-dir", ctx->globals.lock_dir},
	};
	static char program[] = "vunify", cowd[] = "cowd", loud[] = "-v";

	*ret = (struct command){.v = {program}, .n = 1};
	for (size_t i = 0; i < VU_ARRAY_SIZE(options); i++) {
		if (!options[i].value)
			continue;
		if (asprintf(&ret->v[ret->n], "--%s=%s", options[i].name, options[i].value) < 0)
			break;
		ret->n++;
		ret->owned++;
	}
	if (ctx->globals.verbose)
		ret->v[ret->n++] = loud;
	ret->v[ret->n++] = cowd;
	ret->v[ret->n++] = sub;
	ret->v[ret->n] = NULL;
}

static void command_done(struct command *c)
{
	for (size_t i = 1; i <= c->owned; i++)
		free(c->v[i]);
}

static int take_listeners(struct vu_ctx *ctx, const struct run_options *given)
{
	static char serve[] = "serve";
	struct command command;
	struct vu_cowd_options o = {
		.socket = given->socket, .lxc_socket = given->lxc_socket, .server = command.v};

	make_command(ctx, serve, &command);
	vu_report_begin(ctx);
	int r = vu_ops_cowd(&ctx->ops, &o);

	vu_report_end(ctx);
	command_done(&command);
	/* to be ended is how it ends */
	return r == VU_OPS_CANCELLED ? VU_EXIT_DONE
				     : vu_message_result(ctx, r, "cannot take listeners");
}

static int guard(struct vu_ctx *ctx, const struct run_options *given)
{
	static char answer[] = "answer";
	struct command command;

	make_command(ctx, answer, &command);
	int r = vu_cowd_lsm_run(ctx, &given->guard, command.v, command.n);

	command_done(&command);
	return r;
}

static int run_run(struct vu_ctx *ctx, void *options)
{
	const struct run_options *given = options;

	return given->lsm ? guard(ctx, given) : take_listeners(ctx, given);
}

/* ---- serve: answers the calls of one ---- */

static int serve_run(struct vu_ctx *ctx, void *options)
{
	struct vu_supervised_report report = {0};
	struct vu_serve_options o = {.listener = VU_COWD_FD_LISTENER, .kept = ctx->shared};

	(void)options;
	if (!o.kept || !vu_notify_is_source(o.listener)) {
		vu_message(ctx, "cannot answer calls", NULL, "no listener was handed over",
			   "run 'vunify cowd': it starts this");
		return VU_EXIT_USAGE;
	}
	_cleanup_fd_ int lock = vu_kept_take_over(VU_COWD_FD_KEPT, o.kept);

	if (lock < 0)
		return vu_message_result(ctx, lock, "cannot answer calls");
	vu_report_begin(ctx);
	int r = vu_ops_serve(&ctx->ops, &o, &report);

	vu_report_end(ctx);
	if (ctx->globals.verbose)
		fprintf(stderr,
			"vunify: container %s has ended, or somebody else goes on: %llu calls were looked "
			"at; %llu files got a private copy\n",
			o.kept->id, (unsigned long long)report.calls.notified,
			(unsigned long long)report.broken.names);
	return r ? vu_message_result(ctx, r, "cannot answer calls") : VU_EXIT_DONE;
}

/* What workers have in common is in the file that goes with the listener. */
static void *serve_share(void)
{
	struct vu_kept *k = NULL;

	/* it was executed by another name */
	(void)prctl(PR_SET_NAME, "vunify");
	return vu_kept_map(VU_COWD_FD_KEPT, &k) ? NULL : k;
}

/* Both were open before there was a worker. */
static bool serve_keeps(void *shared, int fd)
{
	(void)shared;
	(void)fd;
	return false;
}

/* ---- answer: makes the copies of one guest ---- */

static int answer_run(struct vu_ctx *ctx, void *options)
{
	struct vu_supervised_report report = {0};
	const struct vu_answer_options o = {.guest = ctx->operands[0],
					    .socket = VU_ANSWER_FD_SOCKET,
					    .refusals = VU_ANSWER_FD_REFUSALS};

	(void)options;
	(void)prctl(PR_SET_NAME, "vunify");
	vu_report_begin(ctx);
	int r = vu_ops_answer(&ctx->ops, &o, &report);

	vu_report_end(ctx);
	if (ctx->globals.verbose)
		fprintf(stderr, "vunify: guest %s: %llu files got a private copy\n", o.guest,
			(unsigned long long)report.broken.names);
	return r ? vu_message_result(ctx, r, "cannot make copies") : VU_EXIT_DONE;
}

/* ---- profile: what a runtime is to be configured with ---- */

enum {
	OCI = 1,
	LXC,
};

struct profile_options {
	int format;
	const char *socket;
	const char *guest;
	bool no_descriptors;
};

static const struct vu_opt profile_opts[] = {
	{"format", 0, VU_OPT_CHOICE, "FORMAT", "oci|lxc", "of whose configuration it is (oci)",
	 offsetof(struct profile_options, format)},
	{"socket", 0, VU_OPT_STRING, "PATH", NULL, "where cowd listens",
	 offsetof(struct profile_options, socket)},
	{"guest", 0, VU_OPT_STRING, "NAME", NULL, "the guest that it is for; its root decides",
	 offsetof(struct profile_options, guest)},
	{"no-descriptors", 0, VU_OPT_FLAG, NULL, NULL,
	 "faster: changes of metadata by descriptor are not looked at, and fail where a file is shared (lxc: always)",
	 offsetof(struct profile_options, no_descriptors)},
	{0},
};

static int profile_run(struct vu_ctx *ctx, void *options)
{
	const struct profile_options *o = options;
	unsigned flags = o->no_descriptors ? 0 : VU_FILTER_DESCRIPTORS;
	_cleanup_free_ char *usual = vu_cowd_socket_path(&ctx->config, VU_COWD_OCI), *text = NULL;
	int r = o->format == LXC ? vu_profile_lxc(0, &text)
		: !usual	 ? -ENOMEM
			 : vu_profile_oci(flags, o->socket ? o->socket : usual, o->guest, &text);

	if (r == -EINVAL) {
		vu_message(ctx, "cannot make a profile", o->guest, "it is no UTF-8",
			   "name the guest otherwise");
		return VU_EXIT_USAGE;
	}
	if (r)
		return vu_message_result(ctx, r, "cannot make a profile");
	fputs(text, stdout);
	return VU_EXIT_DONE;
}

static const struct vu_cmd cmd_run = {
	.name = "cowd run",
	.summary = "Take seccomp listeners from container runtimes, and answer their calls",
	.synopsis = "",
	.opts = run_opts,
	.flags = VU_CMD_ROOT,
	.options_size = sizeof(struct run_options),
	.run = run_run,
};

static const struct vu_cmd cmd_profile = {
	.name = "cowd profile",
	.summary = "Print the seccomp profile that a runtime needs",
	.synopsis = "",
	.opts = profile_opts,
	.options_size = sizeof(struct profile_options),
	.run = profile_run,
};

static const struct vu_cmd cmd_serve = {
	.name = "cowd serve",
	.summary = "Answer the calls of one container: cowd starts it",
	.synopsis = "",
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED,
	.run = serve_run,
	.share = serve_share,
	.keeps = serve_keeps,
};

static const struct vu_cmd cmd_answer = {
	.name = "cowd answer",
	.summary = "Make the private copies of one guest: cowd --lsm starts it",
	.synopsis = "GUEST",
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED,
	.min_operands = 1,
	.max_operands = 1,
	.run = answer_run,
};

static const struct vu_cmd *const subs[] = {&cmd_run, &cmd_profile, &cmd_serve, &cmd_answer, NULL};

const struct vu_cmd vu_cmd_cowd = {
	.name = "cowd",
	.summary = "Copy-on-write for guests of container runtimes",
	.synopsis = "[run|profile|serve|answer]",
	.subs = subs,
};
