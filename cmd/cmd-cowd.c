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
#include "ops/cowd-socket.h"
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

#define SERVER_ARGS 12

/* What a server is started with: the global options that this one was. Returns how many are owned, from 1 on. */
static size_t make_command(const struct vu_ctx *ctx, char *command[SERVER_ARGS])
{
	const struct {
		const char *name, *value;
	} options[] = {
		{"config", ctx->globals.config},
		{"catalog", ctx->globals.catalog},
		{"lock-dir", ctx->globals.lock_dir},
	};
	static char program[] = "vunify", cowd[] = "cowd", serve[] = "serve", loud[] = "-v";
	size_t n = 0, owned = 0;

	command[n++] = program;
	for (size_t i = 0; i < VU_ARRAY_SIZE(options); i++) {
		if (!options[i].value)
			continue;
		if (asprintf(&command[n], "--%s=%s", options[i].name, options[i].value) < 0)
			break;
		n++;
		owned++;
	}
	if (ctx->globals.verbose)
		command[n++] = loud;
	command[n++] = cowd;
	command[n++] = serve;
	command[n] = NULL;
	return owned;
}

static int take_listeners(struct vu_ctx *ctx, const struct run_options *given)
{
	char *command[SERVER_ARGS];
	size_t owned = make_command(ctx, command);
	struct vu_cowd_options o = {
		.socket = given->socket, .lxc_socket = given->lxc_socket, .server = command};

	vu_report_begin(ctx);
	int r = vu_ops_cowd(&ctx->ops, &o);

	vu_report_end(ctx);
	for (size_t i = 1; i <= owned; i++)
		free(command[i]);
	/* to be ended is how it ends */
	return r == VU_OPS_CANCELLED ? VU_EXIT_DONE
				     : vu_message_result(ctx, r, "cannot take listeners");
}

static int run_run(struct vu_ctx *ctx, void *options)
{
	const struct run_options *given = options;

	return given->lsm ? vu_cowd_lsm_run(ctx, &given->guard) : take_listeners(ctx, given);
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

static const struct vu_cmd *const subs[] = {&cmd_run, &cmd_profile, &cmd_serve, NULL};

const struct vu_cmd vu_cmd_cowd = {
	.name = "cowd",
	.summary = "Copy-on-write for guests of container runtimes",
	.synopsis = "[run|profile|serve]",
	.subs = subs,
};
