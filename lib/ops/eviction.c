/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of an object are looked for by reading every directory of every registered guest: those in
 * directories that the catalog knows, or that are no part of the run, are in no tree. That costs as
 * much as `unmerge` does before it begins, and happens only when there is something to evict.
 *
 * Somebody may slip into the new object while names move to it. That is noted like the first time; a
 * few rounds are enough, and what is noted then is for the next run.
 */
#include "ops/eviction.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "fs/xattr.h"
#include "guest/openers.h"
#include "link/parking.h"
#include "ops/farm.h"

#define ROUNDS 4

/* ---- whose a process is ---- */

static int who(void *arg, uint64_t dev, uint64_t ino, const struct vu_waiters *waited,
	       struct vu_slip_seen *ret, size_t cap)
{
	const struct vu_eviction *e = arg;
	_cleanup_free_ struct vu_openers_found *found = calloc(e->n + 1, sizeof(*found));
	size_t n = 0;
	int r = found ? vu_openers_find(e->roots, e->paths, e->n, dev, ino, waited->v, waited->n,
					found)
		      : -ENOMEM;

	for (size_t i = 0; !r && i <= e->n && n < cap; i++)
		if (found[i].holds || found[i].waited)
			ret[n++] = (struct vu_slip_seen){
				/* a guest of another file system has no name of it */
				.root_ino =
					i < e->n && e->roots[i].dev == dev ? e->roots[i].ino : 0,
				.holds = found[i].holds,
				.waited = found[i].waited,
			};
	return r ? r : (int)n;
}

static void add_guest(struct vu_eviction *e, size_t *n_domains, const struct vu_guest *g)
{
	struct stat st;

	e->domains[(*n_domains)++] = g->domain;
	if (stat(g->path, &st))
		return;
	for (size_t i = 0; i < e->n; i++)
		if (e->roots[i].dev == st.st_dev && e->roots[i].ino == st.st_ino)
			return;
	e->roots[e->n] = (struct vu_procs_root){.dev = st.st_dev, .ino = st.st_ino};
	e->paths[e->n++] = g->path;
}

int vu_eviction_open(struct vu_eviction *e, struct vu_session *s)
{
	size_t domains = 0;

	*e = (struct vu_eviction){.session = s};
	int r = vu_session_known_guests(s, &e->known);

	if (r)
		return r;
	size_t n = s->guests.n + e->known.n + 1;

	e->roots = calloc(n, sizeof(*e->roots));
	e->paths = calloc(n, sizeof(*e->paths));
	e->domains = calloc(n, sizeof(*e->domains));
	if (!e->roots || !e->paths || !e->domains)
		return -ENOMEM;
	for (size_t i = 0; i < s->guests.n; i++)
		add_guest(e, &domains, &s->guests.v[i]);
	for (size_t i = 0; i < e->known.n; i++)
		add_guest(e, &domains, &e->known.v[i]);
	e->watch = (struct vu_slip_watch){
		.domains = e->domains,
		.who = who,
		.arg = e,
		.ledger = s->ops->ledger,
	};
	int f = vu_freezing_open(&e->freezing, s, e->roots, e->n, e->paths);

	e->watch.freezer = e->freezing.freezer;
	return f ? f : vu_parking_new(&e->watch.parking);
}

void vu_eviction_close(struct vu_eviction *e)
{
	vu_freezing_close(&e->freezing);
	vu_parking_free(e->watch.parking);
	vu_guests_done(&e->known);
	free(e->roots);
	free(e->paths);
	free(e->domains);
	*e = (struct vu_eviction){0};
}

/* ---- what there is ---- */

struct rounds {
	struct vu_eviction *e;
	struct vu_session all; /* all guests, on the pools of the session */
	struct vu_breaker_env env;
	struct vu_pool **pools; /* owned; by the file systems of all */
	struct vu_evict *v;	/* owned, with the items and their paths; of this round */
	size_t n;
	struct vu_key *seen; /* owned; dealt with in this or an earlier round */
	size_t n_seen;
};

static bool is_seen(const struct rounds *r, const struct vu_key *key)
{
	for (size_t i = 0; i < r->n_seen; i++)
		if (!memcmp(&r->seen[i].hash, &key->hash, sizeof(key->hash)) &&
		    r->seen[i].generation == key->generation)
			return true;
	return false;
}

static int add_found(struct rounds *r, const struct vu_evict *found, size_t n)
{
	struct vu_evict *v = reallocarray(r->v, r->n + n + 1, sizeof(*v));
	struct vu_key *seen;

	if (!v)
		return -ENOMEM;
	r->v = v;
	seen = reallocarray(r->seen, r->n_seen + n + 1, sizeof(*seen));
	if (!seen)
		return -ENOMEM;
	r->seen = seen;
	for (size_t i = 0; i < n; i++) {
		if (is_seen(r, &found[i].key))
			continue;
		v[r->n++] = found[i];
		seen[r->n_seen++] = found[i].key;
	}
	return 0;
}

/* What is to be evicted: in r->v. */
static int look(struct rounds *r)
{
	int e = 0;

	for (size_t fs = 0; !e && fs < r->all.n_fs; fs++) {
		_cleanup_free_ struct vu_evict *found = NULL;
		size_t n = 0;

		if (!r->pools[fs])
			continue;
		e = vu_evict_look(&r->env, (uint32_t)fs, &found, &n, &r->e->stats);
		if (!e)
			e = add_found(r, found, n);
	}
	return e;
}

static void drop_found(struct rounds *r)
{
	for (size_t i = 0; i < r->n; i++) {
		for (size_t k = 0; k < r->v[i].n_items; k++) {
			struct vu_break_item *it = &r->v[i].items[k];

			for (uint32_t p = 0; p < it->n_paths; p++)
				free((void *)(uintptr_t)it->paths[p]);
			free(it->paths);
		}
		free(r->v[i].items);
	}
	r->n = 0;
}

/* ---- where its names are ---- */

static struct vu_break_item *item_of(struct vu_evict *v, uint16_t guest)
{
	for (size_t i = 0; i < v->n_items; i++)
		if (v->items[i].guest == guest)
			return &v->items[i];
	struct vu_break_item *it = reallocarray(v->items, v->n_items + 1, sizeof(*it));

	if (!it)
		return NULL;
	v->items = it;
	it += v->n_items++;
	*it = (struct vu_break_item){.guest = guest, .fs = v->fs, .key = v->key, .ino = v->ino};
	return it;
}

static int add_name(struct vu_evict *v, const struct vu_tree *t, const struct vu_unified_name *n)
{
	struct vu_break_item *it = item_of(v, vu_tree_dir(t, n->dir)->guest);
	const char **paths = it ? reallocarray(it->paths, it->n_paths + 1, sizeof(*paths)) : NULL;

	if (!paths)
		return -ENOMEM;
	it->paths = paths;
	paths[it->n_paths] = vu_tree_unified_path(t, n);
	if (!paths[it->n_paths])
		return -ENOMEM;
	it->n_paths++;
	return 0;
}

static int collect(struct rounds *r, const struct vu_tree *t)
{
	int e = 0;

	for (uint32_t i = 0; !e && i < t->unified.n; i++) {
		const struct vu_unified_name *n = vu_tree_unified(t, i);
		uint32_t fs = r->all.guest_fs[vu_tree_dir(t, n->dir)->guest];

		for (size_t k = 0; !e && k < r->n; k++)
			if (r->v[k].ino == n->ino && r->v[k].fs == fs)
				e = add_name(&r->v[k], t, n);
	}
	return e;
}

static int find_names(struct rounds *r)
{
	struct vu_farm farm = {0};
	int e = vu_farm_open(&farm, &r->all, 0);

	/* what else could be said of their files is none of this business */
	vu_farm_tell_unreadable(&farm);
	farm.walk.progress = NULL;
	if (!e)
		e = vu_farm_walk(&farm);
	if (!e)
		e = collect(r, farm.tree);
	vu_farm_close(&farm);
	return e;
}

/* ---- the run ---- */

static int open_all(struct rounds *r)
{
	struct vu_session *s = r->e->session;
	int e = vu_session_open_beside(&r->all, s);

	if (e)
		return e;
	r->pools = calloc(r->all.n_fs + 1, sizeof(struct vu_pool *));
	if (!r->pools)
		return -ENOMEM;
	for (size_t i = 0; i < r->all.n_fs; i++)
		r->pools[i] = r->all.fs[i].pool;
	r->env = (struct vu_breaker_env){
		.guests = &r->all.guests,
		.root_fds = r->all.root_fds,
		.pools = r->pools,
		.n_pools = r->all.n_fs,
		.max_xattr_bytes = VU_XATTR_ANY,
		.sink = &s->counting,
		.watch = &r->e->watch,
	};
	return 0;
}

static int run_round(struct rounds *r)
{
	int e = find_names(r);

	for (size_t i = 0; !e && i < r->n; i++)
		e = vu_evict_run(&r->env, &r->v[i], &r->e->stats);
	return e;
}

static int run_rounds(struct rounds *r)
{
	int e = open_all(r);

	for (int i = 0; !e && i < ROUNDS; i++) {
		e = look(r);
		if (e || !r->n)
			break;
		e = run_round(r);
		drop_found(r);
	}
	drop_found(r);
	free(r->v);
	free(r->seen);
	free(r->pools);
	vu_session_close(&r->all);
	return e;
}

static int tell_note(void *arg, const struct vu_key *key)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(key, name);
	vu_emit(arg,
		&(struct vu_event){
			.kind = VU_EVENT_WARN,
			.object = name,
			.text = "somebody got this object open for writing: its names would be "
				"moved to a new one"});
	return 0;
}

static int one_is_enough(void *arg, const struct vu_key *key)
{
	(void)arg;
	(void)key;
	return 1;
}

int vu_eviction_run(struct vu_eviction *e, bool dry_run)
{
	struct vu_session *s = e->session;
	struct rounds r = {.e = e, .all = {.lock_fd = -EBADF}};
	int any = 0;

	for (size_t i = 0; any >= 0 && i < s->n_fs; i++) {
		if (!s->fs[i].pool || any)
			continue;
		any = vu_slip_each(s->fs[i].pool, dry_run ? tell_note : one_is_enough,
				   &s->counting);
	}
	return any > 0 ? run_rounds(&r) : any;
}
