/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-run.h"

struct options {
	bool chroot_only;
	bool no_descriptors;
	bool wrap;
};

static const struct vu_opt opts[] = {
	{.name = "chroot-only",
	 .kind = VU_OPT_FLAG,
	 .help = "No namespaces, and nothing mounted: the guest's root, and that is all",
	 .offset = offsetof(struct options, chroot_only)},
	{.name = "no-descriptors",
	 .kind = VU_OPT_FLAG,
	 .help = "Faster: changes of metadata by descriptor are not looked at, and fail where a file is shared",
	 .offset = offsetof(struct options, no_descriptors)},
	{.name = "wrap",
	 .kind = VU_OPT_FLAG,
	 .help = "COMMAND is a launcher (lxc-start, systemd-nspawn, bwrap) that starts the guest",
	 .offset = offsetof(struct options, wrap)},
	{0},
};

/* What the guest's processes had of it, for who wants to know (--verbose). */
static void tell(const struct vu_ctx *ctx, const struct vu_run_report *r)
{
	if (!ctx->globals.verbose)
		return;
	fprintf(stderr,
		"vunify: %llu calls were looked at; %llu files got a private copy (%llu bytes), "
		"%llu names were changed without one, %llu calls were refused\n",
		(unsigned long long)r->guest.calls.notified,
		(unsigned long long)r->guest.broken.names,
		(unsigned long long)r->guest.broken.copied_bytes,
		(unsigned long long)r->guest.broken.renamed,
		(unsigned long long)r->guest.calls.refused);
}

static int end_of(struct vu_ctx *ctx, const struct vu_run_report *r, const char *command)
{
	if (r->end.error)
		vu_message(ctx, "cannot run", command, strerror(-r->end.error),
			   "name a program that the guest has");
	return r->end.exit_code;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *given = options;
	struct vu_run_options o = {
		.guest = ctx->operands[0],
		.argv = ctx->operands + 1,
		.chroot_only = given->chroot_only,
		.no_descriptors = given->no_descriptors,
		.wrap = given->wrap,
		.shared = ctx->shared,
	};
	struct vu_run_report report = {0};
	int r;

	vu_report_begin(ctx);
	r = vu_ops_run(&ctx->ops, &o, &report);
	vu_report_end(ctx);
	tell(ctx, &report);
	return r ? vu_message_result(ctx, r, "cannot run a command")
		 : end_of(ctx, &report, o.argv[0]);
}

static void *share(void)
{
	return vu_run_shared_new();
}

static bool keeps(void *shared, int fd)
{
	return vu_run_shared_holds(shared, fd);
}

const struct vu_cmd vu_cmd_run = {
	.name = "run",
	.summary = "Run a command in a guest, with copy-on-write",
	.synopsis = "GUEST -- COMMAND...",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED,
	.options_size = sizeof(struct options),
	.min_operands = 2,
	.max_operands = SIZE_MAX,
	.run = run,
	.share = share,
	.keeps = keeps,
};
