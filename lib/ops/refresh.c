/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/refresh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "db/catalog-tree.h"
#include "ops/farm.h"
#include "ops/scan-count.h"

static bool all_registered(const struct vu_guests *guests)
{
	for (size_t i = 0; i < guests->n; i++)
		if (!guests->v[i].id)
			return false;
	return true;
}

/* Looks at the guests as they are now, and writes that down. */
static int look_at_guests(struct vu_session *s, struct vu_scan_report *ret)
{
	struct vu_farm farm = {0};
	int r = vu_farm_open(&farm, s, VU_FARM_RULES | VU_FARM_CATALOG);
	if (!r)
		r = vu_farm_walk(&farm);
	/* objects that were made */
	if (!r)
		r = vu_farm_know_objects(&farm);
	if (!r) {
		r = vu_catalog_save_tree(s->catalog, &s->guests, farm.tree, 0);
		if (r)
			r = vu_session_catalog_failed(s, r);
	}
	if (!r)
		r = vu_scan_report_new(&s->guests, ret);
	if (!r)
		vu_scan_count(s, farm.tree, NULL, false, ret);
	vu_farm_close(&farm);
	return r;
}

/* The work is done by now: what fails here costs the next scan some time. */
int vu_refresh_catalog(struct vu_session *s, struct vu_scan_report *ret)
{
	struct vu_problem *problem = s->ops->problem, kept = *problem;
	_cleanup_free_ char *text = NULL;
	int r;

	/* guests that are not registered are none of the catalog's */
	if (!s->catalog || !all_registered(&s->guests))
		return 0;
	/* what a scan would say of these guests is none of the caller's business */
	void (*sink)(void *, const struct vu_event *) = s->counting.fn;

	*problem = (struct vu_problem){0};
	s->counting.fn = NULL;
	r = look_at_guests(s, ret);
	s->counting.fn = sink;
	if (r && r != -ECANCELED) {
		const char *why = problem->why ? problem->why
				  : r < 0      ? strerror(-r)
					       : "it is damaged";

		if (asprintf(&text, "the catalog %s does not know of it: %s%s%s",
			     s->ops->config->catalog, why, problem->todo ? "; " : "",
			     problem->todo ? problem->todo : "") < 0)
			text = NULL;
		vu_emit(&s->counting,
			&(struct vu_event){.kind = VU_EVENT_WARN,
					   .text = text ? text
							: "the catalog does not know of it"});
	}
	vu_problem_done(problem);
	*problem = kept;
	return r == -ECANCELED ? r : 0;
}
