/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The summaries of unmerge and recover. */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/report.h"

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)

int vu_report_unmerge(struct vu_ctx *ctx, const struct vu_unmerge_report *r)
{
	const char *dry = ctx->dry_run ? "would be " : "";
	char size[VU_SIZE_TEXT];

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		vu_json_count(j, "names", r->names);
		vu_json_count(j, "inodes", r->inodes);
		vu_json_count(j, "copied_bytes", r->copied_bytes);
		vu_json_count(j, "objects_removed", r->objects_removed);
		vu_json_count(j, "objects_evicted", r->objects_evicted);
		return vu_report_summary_print(j, &r->frozen, r->warnings, r->damages, r->seconds);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " names %smade private, %" PRIu64 " files (%s) %scopied, %" PRIu64
	       " objects %sremoved\n",
	       r->names, dry, r->inodes, vu_size_text(r->copied_bytes, size), dry,
	       r->objects_removed, dry);
	vu_report_evicted(r->objects_evicted);
	return 0;
}

int vu_report_recover(struct vu_ctx *ctx, const struct vu_recover_report *r)
{
	const char *dry = ctx->dry_run ? "would be " : "";

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		vu_json_count(j, "pools", r->pools);
		vu_json_count(j, "objects", r->objects);
		vu_json_count(j, "reflagged", r->reflagged);
		vu_json_count(j, "names_removed", r->names_removed);
		vu_json_count(j, "names_restored", r->names_restored);
		vu_json_count(j, "trees_removed", r->trees_removed);
		vu_json_count(j, "objects_evicted", r->objects_evicted);
		return vu_report_summary_print(j, &r->frozen, r->warnings, r->damages, r->seconds);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " objects %smade immutable again, %" PRIu64
	       " leftover names %sremoved, %" PRIu64 " %sput back (%" PRIu64 " objects in %" PRIu64
	       " pools looked at)\n",
	       r->reflagged, dry, r->names_removed, dry, r->names_restored, dry, r->objects,
	       r->pools);
	if (r->trees_removed)
		printf("%" PRIu64 " unfinished guests %sremoved\n", r->trees_removed, dry);
	vu_report_evicted(r->objects_evicted);
	return 0;
}
