/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The summaries of export and import. */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/report.h"

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)

int vu_report_export(struct vu_ctx *ctx, const struct vu_export_report *r)
{
	char bytes[VU_SIZE_TEXT], written[VU_SIZE_TEXT];

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		vu_json_count(j, "dirs", r->dirs);
		vu_json_count(j, "files", r->files);
		vu_json_count(j, "links", r->links);
		vu_json_count(j, "others", r->others);
		vu_json_count(j, "sockets", r->sockets);
		vu_json_count(j, "bytes", r->bytes);
		vu_json_count(j, "written_bytes", r->written);
		vu_json_count(j, "warnings", r->warnings);
		vu_json_seconds(j, "seconds", r->seconds);
		return vu_json_print(j, stdout);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " files (%s) and %" PRIu64 " others written as %s in %.1f s; %" PRIu64
	       " sockets left out\n",
	       r->files, vu_size_text(r->bytes, bytes), r->dirs + r->links + r->others,
	       vu_size_text(r->written, written), r->seconds, r->sockets);
	return 0;
}
