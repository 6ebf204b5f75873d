/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/propagate-report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/event.h"

struct reporting {
	const struct vu_ops *ops;
	const struct vu_finds *finds;
	const struct vu_guests *guests;
	bool dry_run;
};

static bool follows(const struct reporting *p, const struct vu_find *find)
{
	return find->is_done || (p->dry_run && find->why == VU_FOLLOW_YES);
}

static void tell(const struct reporting *p, const struct vu_find *find)
{
	const struct vu_guest *guests = p->guests->v;
	const struct vu_change *c = &p->finds->changes[find->change];
	bool skip = find->why == VU_FOLLOW_SKIP;
	struct vu_event e = {
		.kind = follows(p, find) ? VU_EVENT_FOLLOW : VU_EVENT_LEFT,
		.guest = guests[find->guest].name,
		.template = guests[c->template].name,
		.path = find->path,
		.size = c->file->v[0].size,
	};

	if (e.kind == VU_EVENT_LEFT) {
		e.why = skip ? vu_skip_name(find->skip) : vu_follow_name(find->why);
		e.text = skip ? vu_skip_text(find->skip) : vu_follow_text(find->why);
	}
	vu_emit(p->ops->sink, &e);
}

static void count(const struct reporting *p, const struct vu_find *find,
		  struct vu_propagate_report *r, struct vu_propagate_guest *g)
{
	if (follows(p, find)) {
		g->followed++;
		g->followed_bytes += p->finds->changes[find->change].file->v[0].size;
	} else if (find->why == VU_FOLLOW_SAME) {
		g->same++;
	} else {
		g->left++;
		r->why[find->why]++;
		if (find->why == VU_FOLLOW_SKIP)
			r->skips[find->skip]++;
	}
}

int vu_propagate_report_guests(const struct vu_ops *ops, bool dry_run, const struct vu_finds *finds,
			       const struct vu_guests *guests, struct vu_propagate_report *r)
{
	const struct reporting reporting = {
		.ops = ops, .finds = finds, .guests = guests, .dry_run = dry_run};
	const struct reporting *p = &reporting;

	r->guests = calloc(guests->n + 1, sizeof(*r->guests));
	if (!r->guests)
		return -ENOMEM;
	for (size_t i = 0, at = 0; i < guests->n; i++) {
		struct vu_propagate_guest *g = &r->guests[r->n_guests];

		while (at < p->finds->n && p->finds->v[at].guest < i)
			at++;
		if (guests->v[i].template)
			continue;
		r->n_guests++;
		g->name = strdup(guests->v[i].name);
		g->path = strdup(guests->v[i].path);
		if (!g->name || !g->path)
			return -ENOMEM;
		for (; at < p->finds->n && p->finds->v[at].guest == i; at++) {
			const struct vu_find *find = &p->finds->v[at];

			if (find->is_doubt)
				continue;
			count(p, find, r, g);
			if (p->ops->per_file && (follows(p, find) || find->why != VU_FOLLOW_SAME))
				tell(p, find);
		}
		r->total.followed += g->followed;
		r->total.followed_bytes += g->followed_bytes;
		r->total.same += g->same;
		r->total.left += g->left;
	}
	return 0;
}

void vu_propagate_report_done(struct vu_propagate_report *r)
{
	for (size_t i = 0; i < r->n_guests; i++) {
		free(r->guests[i].name);
		free(r->guests[i].path);
	}
	free(r->guests);
	*r = (struct vu_propagate_report){0};
}
