/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens in a run, told to whoever asked: one bad file is data, not an error. The sink is
 * called by the coordinating thread or under the caller's lock, never by two threads at once.
 */
#pragma once

#include <stdint.h>

#include "model/skip.h"

enum vu_event_kind {
	VU_EVENT_UNIFY,	  /* path becomes (or, with -n, would become) a name of object */
	VU_EVENT_SKIP,	  /* path stays private because of skip; err may say more */
	VU_EVENT_BREAK,	  /* path got (or would get) a private copy */
	VU_EVENT_BROKEN,  /* path came apart since it was last looked at: has a private copy */
	VU_EVENT_RECOVER, /* a leftover was put right */
	VU_EVENT_DROP,	  /* an object, or a guest, that is not needed went (or would go) */
	VU_EVENT_WARN,	  /* text says what; the run goes on, and ends with exit 3 */
	VU_EVENT_DAMAGE,  /* text says what; the run goes on, and ends with exit 4 */
	VU_EVENT_FOLLOW,  /* path became (or, with -n, would become) what the template has there */
	VU_EVENT_LEFT,	  /* path does not follow the template: why, and text in a sentence */
};

struct vu_event {
	enum vu_event_kind kind;
	enum vu_skip skip;
	int err;	      /* negative errno, or 0 */
	const char *guest;    /* name, or NULL */
	const char *path;     /* relative to the guest's root, or NULL */
	const char *object;   /* name of the object, or NULL */
	const char *text;     /* or NULL */
	const char *template; /* name of the guest that path follows, or NULL */
	const char *why;      /* one word of a list, or NULL */
	uint64_t size;	      /* bytes */
};

struct vu_sink {
	void (*fn)(void *arg, const struct vu_event *e); /* may be NULL */
	void *arg;
};

static inline void vu_emit(const struct vu_sink *s, const struct vu_event *e)
{
	if (s && s->fn)
		s->fn(s->arg, e);
}
