/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-verify.h"

struct options {
	const char *subset;
	const char *max_duration;
	bool resume;
	bool repair;
	struct vu_opt_list from;
};

static const struct vu_opt opts[] = {
	{"subset", 0, VU_OPT_STRING, "K/N", NULL, "read the K-th of N parts of the objects",
	 offsetof(struct options, subset)},
	{"max-duration", 0, VU_OPT_STRING, "TIME", NULL,
	 "stop reading after that time (90s, 30min, 1h), for --resume to go on",
	 offsetof(struct options, max_duration)},
	{"resume", 0, VU_OPT_FLAG, NULL, NULL, "go on where the last run of the same part stopped",
	 offsetof(struct options, resume)},
	{"repair", 0, VU_OPT_FLAG, NULL, NULL,
	 "replace damaged objects from copies that are sound; quarantine those that have none",
	 offsetof(struct options, repair)},
	{"from", 0, VU_OPT_LIST, "PATH", NULL,
	 "with --repair: a file, a tree as guests have it, a tar archive, or oci:DIR[:TAG], that may "
	 "have copies",
	 offsetof(struct options, from)},
	{0},
};

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)

static int report_json(const struct vu_ctx *ctx, const struct vu_verify_report *r)
{
	const struct {
		const char *key;
		uint64_t value;
	} counts[] = {
		{"pools", r->pools},
		{"objects", r->objects},
		{"objects_verified", r->verified},
		{"bytes", r->bytes},
		{"damaged", r->damaged},
		{"repaired", r->repaired},
		{"quarantined", r->quarantined},
		{"not_immutable", r->open},
		{"strangers", r->strangers},
		{"rescued", r->rescued},
		{"misrecorded", r->misrecorded},
		{"unrecorded", r->unrecorded},
		{"names", r->names},
		{"names_unrecorded", r->names_unknown},
		{"names_gone", r->names_recorded},
		{"objects_named_outside", r->outside},
		{"objects_unnamed", r->unnamed},
		{"warnings", r->warnings},
		{"damages", r->damages},
	};
	vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

	vu_json_bool(j, "complete", r->complete);
	for (size_t i = 0; i < VU_ARRAY_SIZE(counts); i++)
		vu_json_count(j, counts[i].key, counts[i].value);
	vu_json_seconds(j, "seconds", r->seconds);
	return vu_json_print(j, stdout);
}

static void note(uint64_t n, const char *what)
{
	if (n)
		printf("%" PRIu64 " %s\n", n, what);
}

static int report(const struct vu_ctx *ctx, const struct vu_verify_report *r)
{
	char size[VU_SIZE_TEXT];

	if (ctx->globals.json)
		return report_json(ctx, r);
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " of %" PRIu64 " objects verified (%s read in %.1f s), %" PRIu64
	       " names in guests looked at\n",
	       r->verified, r->objects, vu_size_text(r->bytes, size), r->seconds, r->names);
	if (!r->complete)
		puts("not all that was asked for: `vunify verify --resume` goes on from here");
	note(r->damaged, "objects are damaged");
	note(r->repaired, ctx->dry_run ? "of them would be replaced" : "of them were replaced");
	note(r->quarantined,
	     ctx->dry_run ? "of them would be put in quarantine" : "of them are in quarantine");
	note(r->open, "objects are not immutable");
	note(r->strangers, "names in pools are nothing that vunify made");
	note(r->rescued, "files in .vunify/rescued wait to be looked at");
	note(r->outside, "objects have names outside of the registered guests, too");
	note(r->unnamed, "objects are in no guest: `vunify gc` removes them");
	note(r->names_unknown + r->names_recorded,
	     "names are not as the catalog remembers them: the next scan sees to that");
	return 0;
}

static int bad_value(struct vu_ctx *ctx, const char *option, const char *value, const char *todo)
{
	vu_message(ctx, option, value, "this is no value for it", todo);
	return VU_EXIT_USAGE;
}

static int run(struct vu_ctx *ctx, void *options)
{
	const struct options *given = options;
	struct vu_verify_options o = {
		.roots = ctx->operands,
		.n_roots = ctx->n_operands,
		.resume = given->resume,
		.repair = given->repair,
		.from = given->from.v,
		.dry_run = ctx->dry_run,
	};
	struct vu_verify_report rep = {0};
	int r, e = 0;

	if (given->subset && vu_subset_parse(given->subset, &o.subset))
		return bad_value(ctx, "option '--subset'", given->subset,
				 "K/N, as 3/7 for the third of seven parts");
	if (given->max_duration && (vu_duration_parse(given->max_duration, &o.max_ns) || !o.max_ns))
		return bad_value(ctx, "option '--max-duration'", given->max_duration,
				 "a number with s, min, h or d");
	if (given->from.n && !given->repair) {
		vu_message(ctx, "option '--from'", NULL, "it is for --repair", NULL);
		return VU_EXIT_USAGE;
	}
	vu_report_begin(ctx);
	r = vu_ops_verify(&ctx->ops, &o, &rep);
	vu_report_end(ctx);
	if (!r || r == VU_OPS_CANCELLED)
		e = report(ctx, &rep);
	return vu_report_result(ctx, r, e, "cannot verify", rep.warnings, rep.damages);
}

const struct vu_cmd vu_cmd_verify = {
	.name = "verify",
	.summary = "Prove that the pools hold what they should, by reading them",
	.synopsis = "[ROOT...]",
	.opts = opts,
	.flags = VU_CMD_ROOT | VU_CMD_GUARDED | VU_CMD_DRY_RUN | VU_CMD_JSON,
	.options_size = sizeof(struct options),
	.max_operands = SIZE_MAX,
	.run = run,
};
