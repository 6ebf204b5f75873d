/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"
#include "cmd/json.h"
#include "cmd/message.h"
#include "cmd/report.h"
#include "ops/ops-why.h"

static const char *const states[] = {
	[VU_WHY_UNIFIED] = "unified", [VU_WHY_PRIVATE] = "private", [VU_WHY_PENDING] = "pending",
	[VU_WHY_OUTSIDE] = "outside", [VU_WHY_MISSING] = "missing",
};

static const char *const texts[] = {
	[VU_WHY_UNIFIED] = "unified",
	[VU_WHY_PRIVATE] = "private",
	[VU_WHY_PENDING] = "private, the next scan would unify it",
	[VU_WHY_OUTSIDE] = "in no registered guest",
	[VU_WHY_MISSING] = "cannot be looked at",
};

static void put(const char *before, const char *s)
{
	_cleanup_free_ char *text = s ? vu_escape(s, vu_escape_locale_utf8()) : NULL;

	if (text)
		printf("%s%s", before, text);
}

/* "PATH: unified with g2:/usr/lib/x, ...", "PATH: private: xattr-differs: security.capability (...)" */
static void answer_text(const char *path, const struct vu_why *w)
{
	put("", path);
	printf(": %s", texts[w->state]);
	if (w->state == VU_WHY_PRIVATE)
		printf(": %s", vu_skip_name(w->skip));
	put(": ", w->value);
	if (w->state == VU_WHY_PRIVATE)
		printf(" (%s)", vu_skip_text(w->skip));
	if (w->err)
		printf(": %s", strerror(-w->err));
	for (size_t i = 0; i < w->n_partners; i++)
		put(i ? ", " : w->state == VU_WHY_PRIVATE ? "; equal: " : " with ", w->partners[i]);
	if (w->n_more)
		printf(" and %" PRIu64 " more", w->n_more);
	putchar('\n');
}

static struct vu_json *answer_json(const char *path, const struct vu_why *w)
{
	struct vu_json *j = vu_json_new();

	vu_json_name(j, "path", path);
	vu_json_text(j, "state", states[w->state]);
	if (w->state == VU_WHY_PRIVATE)
		vu_json_text(j, "skip", vu_skip_name(w->skip));
	if (w->value)
		vu_json_name(j, "value", w->value);
	if (w->guest)
		vu_json_name(j, "guest", w->guest);
	if (w->path)
		vu_json_name(j, "guest_path", w->path);
	if (w->object)
		vu_json_name(j, "object", w->object);
	if (w->err)
		vu_json_name(j, "error", strerror(-w->err));
	vu_json_array(j, "partners");
	for (size_t i = 0; i < w->n_partners; i++) {
		struct vu_json *one = vu_json_new();

		vu_json_name(one, "path", w->partners[i]);
		vu_json_append(j, "partners", one);
	}
	vu_json_count(j, "partners_more", w->n_more);
	return j;
}

static int run(struct vu_ctx *ctx, void *options)
{
	struct vu_json *j = ctx->globals.json ? vu_json_new() : NULL;
	int r = 0, e = VU_EXIT_DONE;

	(void)options;
	vu_json_count(j, "schema", VU_SCHEMA);
	vu_json_array(j, "answers");
	for (size_t i = 0; i < ctx->n_operands && !r; i++) {
		struct vu_why w = {0};

		r = vu_ops_why(&ctx->ops, ctx->operands[i], &w);
		if (r)
			break;
		if (w.state == VU_WHY_MISSING)
			e = VU_EXIT_FAILED;
		if (j)
			vu_json_append(j, "answers", answer_json(ctx->operands[i], &w));
		else
			answer_text(ctx->operands[i], &w);
		vu_why_done(&w);
	}
	if (!r && ctx->globals.json)
		r = vu_json_print(j, stdout);
	vu_json_free(j);
	return r ? vu_message_result(ctx, r, "cannot say why") : e;
}

const struct vu_cmd vu_cmd_why = {
	.name = "why",
	.summary = "Say what holds for a path: unified with whom, or what stopped it",
	.synopsis = "PATH...",
	.flags = VU_CMD_ROOT | VU_CMD_CATALOG_READ | VU_CMD_JSON,
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.run = run,
};
