/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to stderr, in one form: "vunify: what failed: on what: why; what to do". Whatever a guest
 * or a user chose is escaped. The progress line, if there is one, is erased first.
 */
#pragma once

#include "model/event.h"
#include "ops/context.h"

struct vu_ctx;

/* One message; any part may be NULL. */
void vu_message(struct vu_ctx *ctx, const char *what, const char *on, const char *why,
		const char *todo);

/*
 * Says why an operation failed and returns the exit code: result is an enum vu_ops_e or a negative
 * errno. what is said where ctx->problem does not say it.
 */
int vu_message_result(struct vu_ctx *ctx, int result, const char *what);

/* A warning or damage that came as an event. */
void vu_message_event(struct vu_ctx *ctx, const struct vu_event *e);
