/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch:
 *
 *  1. Objects are opened and leased, some at a time: to open one takes longer than its moment, and guests
 *     that are frozen for moments wait meanwhile.
 *  2. For each of these a moment (link/moment.c), in which all of its names are given or taken.
 *  3. The objects are closed when their cool-down is over, meanwhile others have their moments. Those that
 *     nobody has any more are removed.
 *
 * In a moment into which somebody got, what was given is taken back: the object is for eviction, which
 * finds names in guests only.
 *
 * Killed in 2: the guardian ends the moments (link/ledger.c); killed with it: recovery finds objects without
 * a flag. Names that were given are in a tree that is removed then, names that are left to be taken too.
 */
#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "fs/exchange.h"
#include "link/freezer.h"
#include "link/naming-int.h"
#include "link/quarantine.h"

#define TOGETHER 64 /* objects opened before their moments begin; at most 32 times in a batch */
#define LOOK_NS UINT64_C(50000000)

/* ---- one object ---- */

static void set_all(struct vu_naming_batch *b, const struct vu_naming_slot *s, int r)
{
	for (uint32_t i = s->first; i != VU_NAMING_END; i = b->names[i].next)
		b->names[i].r = r;
}

static int change(const struct vu_naming_batch *b, const struct vu_naming_slot *s,
		  const struct vu_naming_name *w)
{
	if (!b->env->take)
		return vu_link_fd(s->object->fd, w->dir, w->name);
	if (!unlinkat(w->dir, w->name, 0))
		return 0;
	/* gone already, or another file's name by now: whoever looks again finds that */
	return errno == ENOENT ? 0 : -errno;
}

/* Inside a moment: what was given is not to be had. */
static int undo_names(struct vu_naming_batch *b, struct vu_naming_slot *s, int why)
{
	int r = 0;

	for (uint32_t i = s->first; i != VU_NAMING_END; i = b->names[i].next) {
		struct vu_naming_name *w = &b->names[i];

		if (!w->r && unlinkat(w->dir, w->name, 0))
			r = -errno;
		w->r = why;
	}
	s->n_done = 0;
	return r;
}

/* Inside a moment. At the limit of links none is given: those of one inode stay together. */
static int change_names(struct vu_naming_batch *b, struct vu_naming_slot *s)
{
	for (uint32_t i = s->first; i != VU_NAMING_END; i = b->names[i].next) {
		struct vu_naming_name *w = &b->names[i];

		w->r = change(b, s, w);
		s->n_done += !w->r;
		if (w->r == -EMLINK)
			return undo_names(b, s, -EMLINK);
	}
	return 0;
}

/* Somebody got in while names were given: in a further moment they are taken back. */
static int take_back(struct vu_naming_batch *b, struct vu_naming_slot *s)
{
	int r = vu_moment_begin_inside(b->env->moment, s->object), e;

	if (r)
		return r;
	r = undo_names(b, s, VU_NAMING_BUSY);
	e = vu_moment_end(b->env->moment, s->object, -EBADF);
	return e ? e : r;
}

/* In the freezer, where that is possible. */
static int moment_for(struct vu_naming_batch *b, struct vu_naming_slot *s)
{
	int r = s->object->lost ? -ESTALE : vu_moment_begin_inside(b->env->moment, s->object);

	if (r) {
		set_all(b, s, r == -ESTALE ? VU_NAMING_BUSY : r);
		return r == -ESTALE ? 0 : r;
	}
	r = change_names(b, s);
	int e = vu_moment_end(b->env->moment, s->object, -EBADF);

	r = e ? e : r;
	if (!r && s->object->lost && !b->env->take && s->n_done)
		r = take_back(b, s);
	return r;
}

static int open_slot(struct vu_naming_batch *b, struct vu_naming_slot *s)
{
	struct vu_stat st = {0};
	int r = b->slips && vu_pool_object_slipped(b->env->pool, &s->key);

	/* one that is damaged is not to spread */
	if (!r && b->quarantine && vu_quarantine_has(b->env->pool, &s->key, s->ino))
		r = -ESTALE;
	if (!r)
		r = vu_object_open_in_batch(b->env->pool, &s->key, b->claims,
					    b->env->moment->max_xattr_bytes, &s->object, &st);

	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	if (!r && st.version.ino != s->ino) {
		s->object = vu_object_unref(b->env->moment, s->object);
		r = -ESTALE;
	}
	s->n_links = st.n_links;
	if (r)
		set_all(b, s, r > 0 ? VU_NAMING_BUSY : r);
	return 0;
}

/* ---- some objects together ---- */

/* Of a thread. Objects are closed in the order in which they were opened. */
struct worker {
	struct vu_naming_batch *b;
	struct group {
		uint32_t from, to;
		uint64_t ended_ns; /* all of its moments; CLOCK_MONOTONIC */
	} groups[VU_NAMING_OBJECTS_MAX / TOGETHER];
	unsigned first, n; /* those that are open */
};

/* Whoever is on his way since a moment ended does not wait for long. */
static void look_at(const struct worker *w)
{
	const struct vu_naming_batch *b = w->b;

	for (unsigned g = w->first; g < w->n; g++)
		for (uint32_t i = w->groups[g].from; i < w->groups[g].to; i++)
			if (b->slots[i].object)
				vu_moment_look(b->env->moment, b->slots[i].object);
}

static int close_slot(struct vu_naming_batch *b, struct vu_naming_slot *s)
{
	bool unused = b->env->take && s->object && !s->object->lost && s->n_links == s->n_done + 1;

	s->object = vu_object_unref(b->env->moment, s->object);
	if (!unused)
		return 0;
	int r = vu_moment_remove_unused(b->env->moment, b->env->pool, &s->key);

	if (!r)
		atomic_fetch_add(&b->objects_removed, 1);
	return r == -EBUSY || r == -ENOENT ? 0 : r;
}

static int close_first(struct worker *w)
{
	const struct group *g = &w->groups[w->first++];
	int r = 0;

	for (uint32_t i = g->from; i < g->to; i++) {
		int e = close_slot(w->b, &w->b->slots[i]);

		r = r ? r : e;
	}
	return r;
}

/* Without waiting for the end of a cool-down. */
static int close_cool(struct worker *w)
{
	uint64_t now = vu_moment_now();
	int r = 0;

	while (!r && w->first < w->n && now >= w->groups[w->first].ended_ns + VU_COOL_DOWN_NS)
		r = close_first(w);
	return r;
}

static int moments(struct vu_naming_batch *b, uint32_t from, uint32_t to)
{
	struct vu_freezer *f = vu_moment_freezer(b->env->moment);
	int in = vu_freezer_enter(f), r = 0;

	for (uint32_t i = from; !r && i < to; i++) {
		if (!b->slots[i].object)
			continue;
		if (!in && !vu_freezer_has_time(f)) {
			vu_freezer_leave(f);
			in = vu_freezer_enter(f);
		}
		if (in)
			set_all(b, &b->slots[i], in);
		else
			r = moment_for(b, &b->slots[i]);
	}
	if (!in)
		vu_freezer_leave(f);
	return r;
}

static int run_group(struct worker *w, uint32_t from)
{
	struct vu_naming_batch *b = w->b;
	uint32_t to = VU_MIN(from + TOGETHER, b->n_slots);
	struct group *g = &w->groups[w->n++];
	int r = 0;

	*g = (struct group){.from = from, .to = to};
	for (uint32_t i = from; !r && i < to; i++)
		r = open_slot(b, &b->slots[i]);
	if (!r)
		r = moments(b, from, to);
	g->ended_ns = vu_moment_now();
	return r;
}

static int work(void *arg, unsigned thread)
{
	struct worker w = {.b = arg};
	struct vu_naming_batch *b = arg;
	uint64_t looked_ns = vu_moment_now();
	int r = 0;

	(void)thread;
	while (!r && !b->error) {
		uint32_t from = atomic_fetch_add(&b->next, TOGETHER);

		if (from >= b->n_slots)
			break;
		r = run_group(&w, from);
		if (!r)
			r = close_cool(&w);
		if (vu_moment_now() > looked_ns + LOOK_NS) {
			look_at(&w);
			looked_ns = vu_moment_now();
		}
	}
	while (w.first < w.n) {
		int e = close_first(&w);

		r = r ? r : e;
	}
	if (r && !b->error)
		b->error = r;
	return r;
}

/* ---- the batch ---- */

static int any_slip(void *arg, const struct vu_key *key)
{
	(void)arg;
	(void)key;
	return 1;
}

int vu_naming_batch_run(struct vu_naming_batch *b)
{
	struct vu_claims *claims = vu_pool_claims(b->env->pool);
	unsigned threads = VU_MIN(VU_MAX(b->env->jobs, 1U), b->n_slots / TOGETHER + 1);
	int r = vu_claims_begin(claims);

	if (r < 0)
		return r;
	b->claims = r;
	/* while others share the pool one may come at any time */
	b->quarantine = !b->env->take && vu_quarantine_is_used(b->env->pool);
	b->slips = b->claims || vu_slip_each(b->env->pool, any_slip, NULL);
	b->next = 0;
	b->error = 0;
	r = vu_crew_run(threads, work, b);
	if (!b->claims)
		vu_claims_end(claims);
	return r;
}
