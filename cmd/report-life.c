/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The summaries of what makes, removes and carries a guest: clone, remove, export, import. */
#include <inttypes.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/report.h"

VU_DEFINE_CLEANUP(struct vu_json *, vu_json_free)

int vu_report_clone(struct vu_ctx *ctx, const struct vu_clone_report *r)
{
	const struct vu_copytree_stats *t = &r->tree;
	_cleanup_free_ char *path = vu_escape(r->path, vu_escape_locale_utf8());
	char size[VU_SIZE_TEXT];

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		if (r->guest)
			vu_json_name(j, "guest", r->guest);
		vu_json_name(j, "path", r->path);
		vu_json_count(j, "names", t->names);
		vu_json_count(j, "copied", t->copied);
		vu_json_count(j, "copied_bytes", t->copied_bytes);
		vu_json_count(j, "dirs", t->dirs);
		vu_json_count(j, "others", t->others);
		vu_json_count(j, "reset", t->reset);
		vu_json_count(j, "mounts", t->mounts);
		vu_json_count(j, "changed", t->changed);
		return vu_report_summary_print(j, &r->frozen, r->warnings, r->damages, r->seconds);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("%s %s: %" PRIu64 " files shared, %" PRIu64 " (%s) copied, %" PRIu64
	       " reset, in %.1f s\n",
	       path ? path : "", ctx->dry_run ? "would be made" : "made", t->names, t->copied,
	       vu_size_text(t->copied_bytes, size), t->reset, r->seconds);
	if (t->mounts)
		printf("%" PRIu64 " mounts in the guest were left out\n", t->mounts);
	return 0;
}

int vu_report_remove(struct vu_ctx *ctx, const struct vu_remove_report *r)
{
	const char *dry = ctx->dry_run ? "would be " : "";
	_cleanup_free_ char *guest = vu_escape(r->guest, vu_escape_locale_utf8());

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		vu_json_name(j, "guest", r->guest);
		vu_json_name(j, "path", r->path);
		vu_json_count(j, "names", r->names);
		vu_json_count(j, "files", r->files);
		vu_json_count(j, "dirs", r->dirs);
		vu_json_count(j, "private_bytes", r->private_bytes);
		vu_json_count(j, "objects_removed", r->objects_removed);
		return vu_report_summary_print(j, &r->frozen, r->warnings, r->damages, r->seconds);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("guest %s %sremoved: %" PRIu64 " shared files, %" PRIu64 " others, %" PRIu64
	       " directories",
	       guest ? guest : "", dry, r->names, r->files, r->dirs);
	if (!ctx->dry_run)
		printf("; %" PRIu64 " objects were nobody else's", r->objects_removed);
	putchar('\n');
	return 0;
}

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

static void import_json(struct vu_json *j, const struct vu_import_report *r)
{
	const struct vu_unpack_stats *u = &r->unpacked;

	if (r->guest)
		vu_json_name(j, "guest", r->guest);
	if (r->path)
		vu_json_name(j, "path", r->path);
	vu_json_count(j, "layers", r->layers);
	vu_json_count(j, "members", u->members);
	vu_json_count(j, "dirs", u->dirs);
	vu_json_count(j, "files_written", u->files + r->copied);
	vu_json_count(j, "bytes_written", u->bytes);
	vu_json_count(j, "names_unified", r->names);
	vu_json_count(j, "saved_bytes", r->linked_bytes);
	vu_json_count(j, "links", u->links);
	vu_json_count(j, "others", u->others);
	vu_json_count(j, "whiteouts", u->whiteouts);
	vu_json_count(j, "xattrs_left_out", u->xattrs_left_out);
	vu_json_count(j, "warnings", r->warnings);
	vu_json_count(j, "damages", r->damages);
	vu_json_seconds(j, "seconds", r->seconds);
}

int vu_report_import(struct vu_ctx *ctx, const struct vu_import_report *r)
{
	const struct vu_unpack_stats *u = &r->unpacked;
	const char *dry = ctx->dry_run ? "would be " : "";
	char linked[VU_SIZE_TEXT], bytes[VU_SIZE_TEXT];

	if (ctx->globals.json) {
		vu_cleanup(vu_json_free_p) struct vu_json *j = vu_report_summary(ctx);

		import_json(j, r);
		return vu_json_print(j, stdout);
	}
	if (ctx->globals.quiet)
		return 0;
	printf("%" PRIu64 " names (%s) %slinked to what the pool has, %" PRIu64
	       " files (%s) %swritten, %" PRIu64 " directories and %" PRIu64 " others, in %.1f s\n",
	       r->names, vu_size_text(r->linked_bytes, linked), dry, u->files + r->copied,
	       vu_size_text(u->bytes, bytes), dry, u->dirs, u->links + u->others, r->seconds);
	if (r->guest) {
		_cleanup_free_ char *name = vu_escape(r->guest, vu_escape_locale_utf8());
		_cleanup_free_ char *path = vu_escape(r->path, vu_escape_locale_utf8());

		printf("guest %s: %s\n", name ? name : "?", path ? path : "?");
	}
	return 0;
}
