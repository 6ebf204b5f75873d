/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/context.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

void vu_problem_set(struct vu_problem *p, const char *what, const char *on, const char *why,
		    const char *todo)
{
	struct vu_problem n = {
		.what = copy(what),
		.on = copy(on),
		.why = copy(why),
		.todo = copy(todo),
	};

	if (!p) {
		vu_problem_done(&n);
		return;
	}
	vu_problem_done(p);
	*p = n;
}

void vu_problem_done(struct vu_problem *p)
{
	free(p->what);
	free(p->on);
	free(p->why);
	free(p->todo);
	*p = (struct vu_problem){0};
}
