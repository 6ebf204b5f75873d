/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cmd/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "cmd/cmd.h"
#include "cmd/escape.h"

/* What is out of memory has to say so all the same. */
static void plain_part(const char *s)
{
	for (; *s; s++)
		fputc(*s >= ' ' && *s <= '~' ? *s : '?', stderr);
}

static void part(const char *before, const char *s)
{
	_cleanup_free_ char *text = NULL;

	if (!s || !*s)
		return;
	text = vu_escape(s, vu_escape_locale_utf8());
	fputs(before, stderr);
	if (text)
		fputs(text, stderr);
	else
		plain_part(s);
}

void vu_message(struct vu_ctx *ctx, const char *what, const char *on, const char *why,
		const char *todo)
{
	vu_progress_line_hide(ctx->line);
	flockfile(stderr);
	fputs("vunify", stderr);
	part(": ", what);
	part(": ", on);
	part(": ", why);
	part("; ", todo);
	fputc('\n', stderr);
	funlockfile(stderr);
	vu_progress_line_show(ctx->line);
}

static const struct {
	int exit;
	const char *why;
	const char *todo;
} results[] = {
	[VU_OPS_NOT_SET_UP] = {VU_EXIT_NOT_SET_UP, "nothing is set up yet",
			       "run 'vunify scan ROOT...' first"},
	[VU_OPS_LOCKED] = {VU_EXIT_LOCKED, "another vunify is at work", "wait until it is done"},
	[VU_OPS_REFUSED] = {VU_EXIT_REFUSED, "refused as unsafe", NULL},
	[VU_OPS_NO_SPACE] = {VU_EXIT_NO_SPACE, "not enough free space", "make room first"},
	[VU_OPS_DAMAGED] = {VU_EXIT_DAMAGE, "damage found", NULL},
	[VU_OPS_USAGE] = {VU_EXIT_USAGE, "the request makes no sense", NULL},
};

int vu_message_result(struct vu_ctx *ctx, int result, const char *what)
{
	const struct vu_problem *p = &ctx->problem;
	bool known = result > 0 && (size_t)result < VU_ARRAY_SIZE(results);
	const char *why = p->why, *todo = p->todo;

	if (result == VU_OPS_CANCELLED || result == -ECANCELED) {
		vu_message(ctx, "stopped at a safe point", NULL, NULL,
			   "everything is consistent, and the next run goes on from there");
		return vu_stop_signal() ? 128 + vu_stop_signal() : VU_EXIT_FAILED;
	}
	if (!why)
		why = known ? results[result].why : strerror(result < 0 ? -result : EPROTO);
	if (!p->why && !todo && known)
		todo = results[result].todo;
	vu_message(ctx, p->what ? p->what : what, p->on, why, todo);
	return known ? results[result].exit : VU_EXIT_FAILED;
}

void vu_message_event(struct vu_ctx *ctx, const struct vu_event *e)
{
	_cleanup_free_ char *on = NULL;
	const char *why = e->err ? strerror(-e->err) : NULL;

	if (e->guest && e->path) {
		if (asprintf(&on, "%s:/%s", e->guest, e->path) < 0)
			on = NULL;
	} else if (e->guest || e->path) {
		on = strdup(e->guest ? e->guest : e->path);
	} else if (e->object) {
		on = strdup(e->object);
	}
	vu_message(ctx, e->kind == VU_EVENT_DAMAGE ? "damage" : "warning", on,
		   e->text ? e->text : why, e->text ? why : NULL);
}
