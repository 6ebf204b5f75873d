/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void vu_guest_done(struct vu_guest *g)
{
	free(g->name);
	free(g->path);
	free(g->domain);
	free(g->fs_id);
	for (char **r = g->rules; r && *r; r++)
		free(*r);
	free(g->rules);
	*g = (struct vu_guest){0};
}

void vu_guests_done(struct vu_guests *gs)
{
	for (size_t i = 0; i < gs->n; i++)
		vu_guest_done(&gs->v[i]);
	free(gs->v);
	*gs = (struct vu_guests){0};
}

int vu_guests_add_consume(struct vu_guests *gs, struct vu_guest *g)
{
	struct vu_guest *v = reallocarray(gs->v, gs->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	gs->v = v;
	gs->v[gs->n++] = *g;
	*g = (struct vu_guest){0};
	return 0;
}

int vu_guest_copy(const struct vu_guest *g, struct vu_guest *ret)
{
	size_t n = 0;

	*ret = *g;
	while (g->rules && g->rules[n])
		n++;
	ret->name = strdup(g->name);
	ret->path = strdup(g->path);
	ret->domain = strdup(g->domain);
	ret->fs_id = strdup(g->fs_id);
	ret->rules = calloc(n + 1, sizeof(*ret->rules));
	for (size_t i = 0; ret->rules && i < n; i++)
		ret->rules[i] = strdup(g->rules[i]);
	if (ret->name && ret->path && ret->domain && ret->fs_id && ret->rules)
		return 0;
	vu_guest_done(ret);
	return -ENOMEM;
}

int vu_guests_copy(const struct vu_guests *gs, struct vu_guests *ret)
{
	struct vu_guest g;
	int r = 0;

	*ret = (struct vu_guests){0};
	for (size_t i = 0; !r && i < gs->n; i++) {
		r = vu_guest_copy(&gs->v[i], &g);
		if (!r)
			r = vu_guests_add_consume(ret, &g);
	}
	if (r)
		vu_guests_done(ret);
	return r;
}

struct vu_guest *vu_guests_find(const struct vu_guests *gs, const char *name_or_path)
{
	for (size_t i = 0; i < gs->n; i++)
		if (!strcmp(gs->v[i].name, name_or_path) || !strcmp(gs->v[i].path, name_or_path))
			return &gs->v[i];
	return NULL;
}

bool vu_guest_name_ok(const char *name)
{
	return *name && strlen(name) <= VU_GUEST_NAME_MAX && !strchr(name, '/') &&
	       strcmp(name, ".") && strcmp(name, "..");
}
