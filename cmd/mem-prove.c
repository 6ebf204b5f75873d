/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/mem-prove.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "cmd/message.h"
#include "mem/samepage.h"

static int print_json(const struct vu_ctx *ctx, const struct vu_samepage *s, bool same)
{
	struct vu_json *j = vu_json_new();
	int r;

	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_bool(j, "same", same);
	vu_json_count(j, "pages_compared", s->pages_compared);
	vu_json_count(j, "pages_equal", s->pages_equal);
	vu_json_count(j, "page_bytes", s->page_bytes);
	for (size_t i = 0; i < s->n; i++) {
		struct vu_json *f = vu_json_new();

		vu_json_name(f, "path", ctx->operands[i]);
		vu_json_count(f, "pages", s->file[i].pages);
		vu_json_count(f, "resident", s->file[i].resident);
		vu_json_append(j, "files", f);
	}
	r = vu_json_print(j, stdout);
	vu_json_free(j);
	return r;
}

static int print_text(const struct vu_ctx *ctx, const struct vu_samepage *s, bool same)
{
	char size[VU_SIZE_TEXT];

	if (!s->pages_compared)
		puts("not proven: no page is in memory in all the files");
	else
		printf("%s: %" PRIu64 " of %" PRIu64
		       " pages compared are one physical page in all %zu files (%s)\n",
		       same ? "shared" : "not shared", s->pages_equal, s->pages_compared, s->n,
		       vu_size_text(s->pages_equal * s->page_bytes, size));
	for (size_t i = 0; ctx->globals.verbose && i < s->n; i++) {
		_cleanup_free_ char *path = vu_escape(ctx->operands[i], vu_escape_locale_utf8());

		printf("  %s: %" PRIu64 " of %" PRIu64 " pages in memory\n", path ? path : "?",
		       s->file[i].resident, s->file[i].pages);
	}
	return 0;
}

/* Which file it was, and why. */
static int bad_file(struct vu_ctx *ctx, const struct vu_samepage *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->file[i].err)
			vu_message(ctx, "cannot look at the pages", ctx->operands[i],
				   s->file[i].err == -EINVAL ? "not a regular file"
							     : strerror(-s->file[i].err),
				   NULL);
	return VU_EXIT_FAILED;
}

void vu_mem_say_hidden(struct vu_ctx *ctx, const char *what)
{
	vu_message(ctx, what, "/proc/self/pagemap", "the kernel hides page frame numbers",
		   "run with CAP_SYS_ADMIN");
}

int vu_mem_prove_run(struct vu_ctx *ctx)
{
	struct vu_samepage s = {0};
	bool same;
	int r;

	if (ctx->globals.columns) {
		vu_message(ctx, "mem", NULL, "there are no columns to choose", NULL);
		return VU_EXIT_USAGE;
	}
	if (ctx->n_operands < 2) {
		vu_message(ctx, "mem", NULL, "too few operands",
			   "say 'vunify mem --prove PATH PATH...'");
		return VU_EXIT_USAGE;
	}
	r = vu_samepage_prove(ctx->operands, ctx->n_operands, &s);
	if (r == VU_SAMEPAGE_HIDDEN) {
		vu_mem_say_hidden(ctx, "cannot compare physical pages");
		return VU_EXIT_FAILED;
	}
	if (r < 0)
		return vu_message_result(ctx, r, "cannot compare physical pages");
	same = s.pages_compared && s.pages_equal == s.pages_compared;
	if (r == VU_SAMEPAGE_FILE)
		r = bad_file(ctx, &s);
	else if (ctx->globals.json ? print_json(ctx, &s, same) : print_text(ctx, &s, same))
		r = vu_message_result(ctx, -EIO, "cannot print the result");
	else
		r = same ? VU_EXIT_DONE : VU_EXIT_FAILED;
	vu_samepage_done(&s);
	return r;
}
