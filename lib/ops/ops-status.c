/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-status.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "db/catalog-broken.h"
#include "db/catalog-run.h"
#include "db/catalog-tree.h"
#include "ops/damage.h"
#include "ops/session.h"

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)

static int fill(struct vu_session *s, const struct vu_guest *g, struct vu_status_guest *out)
{
	struct vu_guest_stat stat;
	int r = vu_catalog_guest_stat(s->catalog, g->id, &stat);

	if (!r)
		r = vu_catalog_looked_at(s->catalog, g->id, &out->last_run_ns);
	if (!r)
		r = vu_catalog_broken_count(s->catalog, g->id, &out->broken);
	if (r)
		return vu_session_catalog_failed(s, r);
	out->name = strdup(g->name);
	out->path = strdup(g->path);
	out->domain = strdup(g->domain);
	if (!out->name || !out->path || !out->domain)
		return -ENOMEM;
	out->unified = stat.unified;
	out->private_names = stat.private;
	out->files = stat.unified + stat.private;
	out->pending = stat.skip_files[VU_SKIP_NONE];
	return 0;
}

static void add_up(struct vu_status_guest *total, const struct vu_status_guest *g)
{
	total->files += g->files;
	total->unified += g->unified;
	total->private_names += g->private_names;
	total->pending += g->pending;
	total->broken += g->broken;
	total->damaged += g->damaged;
	total->last_run_ns = VU_MAX(total->last_run_ns, g->last_run_ns);
}

/* By name, or by the path of the root. */
static struct vu_guest *find(struct vu_guests *guests, const char *name, const char *real)
{
	for (size_t i = 0; i < guests->n; i++)
		if (guests->v[i].name && (!strcmp(guests->v[i].name, name) ||
					  (real && !strcmp(guests->v[i].path, real))))
			return &guests->v[i];
	return NULL;
}

/* The registered guests that were asked for; n 0: all. Takes them out of known. */
static int select_guests(struct vu_session *s, char *const *names, size_t n,
			 struct vu_guests *known, struct vu_guests *ret)
{
	int r = 0;

	for (size_t i = 0; !r && !n && i < known->n; i++)
		r = vu_guests_add_consume(ret, &known->v[i]);
	for (size_t i = 0; !r && i < n; i++) {
		_cleanup_free_ char *real = realpath(names[i], NULL);
		struct vu_guest *g = find(ret, names[i], real) ? NULL : find(known, names[i], real);

		if (g)
			r = vu_guests_add_consume(ret, g);
		else if (!find(ret, names[i], real))
			return vu_fail(s->ops, VU_OPS_USAGE, "no such guest", names[i],
				       "it is not registered", "see `vunify guests`");
	}
	return r;
}

struct telling {
	const struct vu_damage *damage;
	struct vu_status *st;
	const size_t
		*fs; /* for each of the guests: that of the session's file systems, or SIZE_MAX */
};

static int tell_name(void *arg, uint16_t guest, uint32_t dir, uint64_t ino)
{
	struct telling *t = arg;

	(void)dir;
	if (t->fs[guest] != SIZE_MAX && vu_damage_has(t->damage, t->fs[guest], ino))
		t->st->guests[guest].damaged++;
	return 0;
}

VU_DEFINE_CLEANUP_DONE(struct vu_session, vu_session_close)
VU_DEFINE_CLEANUP_DONE(struct vu_damage, vu_damage_done)

/* Where roots or pools cannot be opened there is nothing to see: the commands that need them say why. */
static int count_damage(struct vu_ops *ops, const struct vu_guests *chosen, struct vu_status *st)
{
	vu_cleanup(vu_session_close_p) struct vu_session s;
	vu_cleanup(vu_damage_done_p) struct vu_damage damage = {0};
	_cleanup_free_ size_t *fs = calloc(chosen->n + 1, sizeof(*fs));
	struct telling t = {.damage = &damage, .st = st, .fs = fs};
	int r = vu_session_open(&s, ops, 0, NULL, 0);

	if (!r)
		r = vu_session_find_pools(&s);
	if (!r)
		r = vu_damage_find(&s, &damage);
	if (r < 0 || !fs)
		return r < 0 ? r : -ENOMEM;
	if (r || !damage.objects)
		return 0;
	for (size_t i = 0; i < chosen->n; i++) {
		fs[i] = SIZE_MAX;
		for (size_t k = 0; k < s.guests.n; k++)
			if (s.guests.v[k].id == chosen->v[i].id)
				fs[i] = s.guest_fs[k];
	}
	r = vu_catalog_load_unified(s.catalog, chosen, tell_name, &t);
	return r ? vu_session_catalog_failed(&s, r) : 0;
}

static int collect(struct vu_session *s, char *const *names, size_t n, struct vu_status *st)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests known = {0}, chosen = {0};
	int r = vu_session_known_guests(s, &known);

	if (!r)
		r = select_guests(s, names, n, &known, &chosen);
	if (r)
		return r;
	st->guests = calloc(chosen.n + 1, sizeof(*st->guests));
	if (!st->guests)
		return -ENOMEM;
	st->n_guests = chosen.n;
	r = count_damage(s->ops, &chosen, st);
	for (size_t i = 0; !r && i < chosen.n; i++) {
		r = fill(s, &chosen.v[i], &st->guests[i]);
		add_up(&st->total, &st->guests[i]);
	}
	return r;
}

int vu_ops_status(struct vu_ops *ops, char *const *guests, size_t n, struct vu_status *ret_status)
{
	struct vu_session s;
	struct vu_status st = {0};
	int r = vu_session_open_catalog(&s, ops, 0);

	if (!r)
		r = collect(&s, guests, n, &st);
	vu_session_close(&s);
	if (r) {
		vu_status_done(&st);
		return r;
	}
	*ret_status = st;
	return 0;
}

void vu_status_done(struct vu_status *s)
{
	for (size_t i = 0; i < s->n_guests; i++) {
		free(s->guests[i].name);
		free(s->guests[i].path);
		free(s->guests[i].domain);
	}
	free(s->guests);
	*s = (struct vu_status){0};
}
