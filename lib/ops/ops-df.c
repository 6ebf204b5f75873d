/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk blocks per guest, from a walk of its own over everything, excluded places too: what the inodes
 * say, not what the catalog remembers. An inode with one link is its guest's alone and only summed up;
 * of the others it is noted which guests have it. All registered guests are walked, whichever are asked
 * for: what a guest shares lies in the others.
 */
#include "ops/ops-df.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/chunks.h"
#include "base/cleanup.h"
#include "fs/stat.h"
#include "ops/farm.h"
#include "ops/session.h"

/* An inode with several links. */
struct linked {
	uint64_t bytes;
	uint32_t n_guests;
	bool shown; /* a guest that was asked for has it */
};

/* A guest that has it. */
struct holding {
	uint32_t linked;
	uint16_t guest;
};

struct counting {
	pthread_mutex_t lock;
	const struct vu_session *s;
	struct vu_df *df;
	bool *shown;		    /* for each guest: it was asked for */
	struct vu_inomap *by_fs;    /* ino -> number in linked, for each file system */
	struct vu_inomap *by_guest; /* inodes with several links that a guest was seen to have */
	struct vu_chunks linked;
	struct vu_chunks holdings;
	int r; /* the first failure: without memory */
};

static int note_linked(struct counting *c, uint16_t guest, const struct vu_stat *st, uint64_t bytes)
{
	struct vu_inomap *fs = &c->by_fs[c->s->guest_fs[guest]];
	uint64_t ino = st->version.ino;
	uint32_t i, h;
	int r = 0;

	if (vu_inomap_get(&c->by_guest[guest], ino, NULL))
		return 0;
	if (!vu_inomap_get(fs, ino, &i)) {
		r = vu_chunks_add(&c->linked, 1, &i);
		if (!r)
			r = vu_inomap_set(fs, ino, i);
		if (r)
			return r;
		*(struct linked *)vu_chunks_at(&c->linked, i) = (struct linked){.bytes = bytes};
	}
	r = vu_chunks_add(&c->holdings, 1, &h);
	if (!r)
		r = vu_inomap_set(&c->by_guest[guest], ino, i);
	if (r)
		return r;
	((struct linked *)vu_chunks_at(&c->linked, i))->n_guests++;
	*(struct holding *)vu_chunks_at(&c->holdings, h) =
		(struct holding){.linked = i, .guest = guest};
	return 0;
}

static void on_stat(void *arg, uint16_t guest, const struct vu_stat *st)
{
	struct counting *c = arg;
	uint64_t bytes = st->blocks * 512;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (S_ISDIR(st->mode) || st->n_links <= 1)
		c->df->guests[guest].unique_bytes += bytes;
	else
		r = note_linked(c, guest, st, bytes);
	if (r && !c->r)
		c->r = r;
	pthread_mutex_unlock(&c->lock);
}

static void sum_up_holdings(struct counting *c)
{
	for (uint32_t i = 0; i < c->holdings.n; i++) {
		const struct holding *h = vu_chunks_at(&c->holdings, i);
		struct linked *l = vu_chunks_at(&c->linked, h->linked);
		struct vu_df_guest *g = &c->df->guests[h->guest];

		l->shown |= c->shown[h->guest];
		if (l->n_guests == 1) {
			g->unique_bytes += l->bytes;
			continue;
		}
		g->shared_bytes += l->bytes;
		g->saved_bytes += l->bytes - l->bytes / l->n_guests;
	}
}

static void sum_up(struct counting *c)
{
	struct vu_df_guest *total = &c->df->total;
	bool all = true;

	sum_up_holdings(c);
	for (uint32_t i = 0; i < c->linked.n; i++) {
		const struct linked *l = vu_chunks_at(&c->linked, i);

		if (l->n_guests > 1 && l->shown)
			total->shared_bytes += l->bytes;
	}
	for (size_t i = 0; i < c->df->n_guests; i++) {
		struct vu_df_guest *g = &c->df->guests[i];

		g->size_bytes = g->unique_bytes + g->shared_bytes;
		all = all && c->shown[i];
		if (!c->shown[i])
			continue;
		total->size_bytes += g->size_bytes;
		total->unique_bytes += g->unique_bytes;
		total->saved_bytes += g->saved_bytes;
	}
	if (all)
		total->saved_bytes = total->size_bytes - total->shared_bytes - total->unique_bytes;
}

/* Takes those out that were not asked for. */
static void keep_shown(struct counting *c)
{
	struct vu_df *df = c->df;
	size_t n = 0;

	for (size_t i = 0; i < df->n_guests; i++) {
		if (c->shown[i]) {
			df->guests[n++] = df->guests[i];
			continue;
		}
		free(df->guests[i].name);
		free(df->guests[i].path);
	}
	df->n_guests = n;
}

static int name_guests(struct vu_df *df, const struct vu_guests *guests)
{
	df->guests = calloc(guests->n + 1, sizeof(*df->guests));
	if (!df->guests)
		return -ENOMEM;
	df->n_guests = guests->n;
	for (size_t i = 0; i < guests->n; i++) {
		df->guests[i].name = strdup(guests->v[i].name);
		df->guests[i].path = strdup(guests->v[i].path);
		if (!df->guests[i].name || !df->guests[i].path)
			return -ENOMEM;
	}
	return 0;
}

static int prepare(struct counting *c, const struct vu_session *s)
{
	pthread_mutex_init(&c->lock, NULL);
	c->by_fs = calloc(s->n_fs + 1, sizeof(*c->by_fs));
	c->by_guest = calloc(s->guests.n + 1, sizeof(*c->by_guest));
	if (!c->by_fs || !c->by_guest || vu_chunks_init(&c->linked, sizeof(struct linked)) ||
	    vu_chunks_init(&c->holdings, sizeof(struct holding)))
		return -ENOMEM;
	return name_guests(c->df, &s->guests);
}

static void done(struct counting *c)
{
	for (size_t i = 0; c->by_fs && i < c->s->n_fs; i++)
		vu_inomap_done(&c->by_fs[i]);
	for (size_t i = 0; c->by_guest && i < c->s->guests.n; i++)
		vu_inomap_done(&c->by_guest[i]);
	free(c->by_fs);
	free(c->by_guest);
	vu_chunks_done(&c->linked);
	vu_chunks_done(&c->holdings);
	pthread_mutex_destroy(&c->lock);
}

/* n 0: all */
static int choose_shown(const struct vu_session *s, char *const *names, size_t n, bool *shown)
{
	for (size_t g = 0; !n && g < s->guests.n; g++)
		shown[g] = true;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *real = realpath(names[i], NULL);
		bool found = false;

		for (size_t g = 0; g < s->guests.n; g++) {
			const struct vu_guest *k = &s->guests.v[g];

			if (strcmp(k->name, names[i]) != 0 && (!real || strcmp(k->path, real) != 0))
				continue;
			shown[g] = found = true;
		}
		if (!found)
			return vu_fail(s->ops, VU_OPS_USAGE, "no such guest", names[i],
				       "it is not registered, or its root is not there",
				       "see `vunify guests`");
	}
	return 0;
}

static int count(struct vu_session *s, bool *shown, struct vu_df *df)
{
	struct counting c = {.s = s, .df = df, .shown = shown};
	struct vu_farm farm = {0};
	int r = prepare(&c, s);

	if (!r)
		r = vu_farm_open(&farm, s, 0);
	for (size_t i = 0; !r && i < s->guests.n; i++)
		farm.walk_guests[i].objects = NULL; /* every inode's blocks are asked for */
	farm.walk.on_stat = on_stat;
	farm.walk.on_stat_arg = &c;
	if (!r)
		r = vu_farm_walk(&farm);
	if (!r)
		r = c.r;
	if (!r) {
		sum_up(&c);
		keep_shown(&c);
	}
	done(&c);
	vu_farm_close(&farm);
	return r;
}

int vu_ops_df(struct vu_ops *ops, char *const *guests, size_t n, struct vu_df *ret_df)
{
	struct vu_session s;
	struct vu_df df = {0};
	int r = vu_session_open(&s, ops, 0, NULL, 0);
	_cleanup_free_ bool *shown = calloc(s.guests.n + 1, sizeof(*shown));

	if (!r)
		r = shown ? choose_shown(&s, guests, n, shown) : -ENOMEM;
	if (!r)
		r = count(&s, shown, &df);
	vu_session_close(&s);
	if (r) {
		vu_df_done(&df);
		return r;
	}
	*ret_df = df;
	return 0;
}

void vu_df_done(struct vu_df *d)
{
	for (size_t i = 0; i < d->n_guests; i++) {
		free(d->guests[i].name);
		free(d->guests[i].path);
	}
	free(d->guests);
	*d = (struct vu_df){0};
}
