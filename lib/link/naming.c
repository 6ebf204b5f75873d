/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch:
 *
 *  1. Objects are opened and leased, some at a time: to open one takes longer than its moment, and guests
 *     that are frozen for moments wait meanwhile.
 *  2. For each of these a moment (link/moment.c), in which all of its names are given or taken.
 *  3. When the whole batch is done the objects are closed: that waits for the end of the cool-down, once
 *     for all. Those that nobody has any more are removed.
 *
 * In a moment into which somebody got, what was given is taken back: the object is for eviction, which
 * finds names in guests only.
 *
 * Killed in 2: the guardian ends the moments (link/ledger.c); killed with it: recovery finds objects without
 * a flag. Names that were given are in a tree that is removed then, names that are left to be taken too.
 */
#include "link/naming.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/chunks.h"
#include "base/cleanup.h"
#include "base/crew.h"
#include "base/inomap.h"
#include "fs/exchange.h"
#include "link/freezer.h"
#include "link/quarantine.h"

#define OBJECTS_MAX 2048    /* in a batch; fewer where descriptors are scarce */
#define OBJECTS_CLAIMED 256 /* the same while others share the pool (link/claim.c says why) */
#define NAMES_MAX 8192	    /* in a batch */
#define TOGETHER 64 /* objects opened before their moments begin; at most 32 times in a batch */
#define LOOK_NS UINT64_C(50000000)

struct wanted_name {
	uint32_t next; /* of the same object; VU_END */
	int dir;       /* borrowed */
	int r;
	void *cookie;
	char *name; /* owned */
};

#define VU_END UINT32_MAX

struct slot {
	struct vu_key key;
	uint64_t ino;
	struct vu_object *object; /* owned reference; NULL: not open */
	uint32_t first;		  /* of its names */
	uint32_t n_links;	  /* when it was opened */
	uint32_t n_done;	  /* names that were given or taken */
};

struct vu_naming {
	const struct vu_naming_env *env;
	struct slot *slots;	   /* owned */
	struct wanted_name *names; /* owned */
	uint32_t n_slots, max_slots, n_names;
	struct vu_inomap by_ino; /* index in slots */
	bool claims;		 /* others share the pool */
	bool quarantine;	 /* there may be objects that get no further names */
	bool slips;		 /* there may be objects that are to be evicted */
	_Atomic uint32_t next;	 /* the first slot that no thread has taken */
	_Atomic int error;	 /* the first that ends the run, or 0 */
	struct vu_naming_stats stats;
};

static uint32_t slots_max(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return OBJECTS_CLAIMED;
	return l.rlim_cur / 2 < OBJECTS_MAX ? (uint32_t)VU_MAX(l.rlim_cur / 4, 4) : OBJECTS_MAX;
}

int vu_naming_new(const struct vu_naming_env *env, struct vu_naming **ret)
{
	struct vu_naming *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->env = env;
	n->max_slots = slots_max();
	n->slots = calloc(n->max_slots, sizeof(*n->slots));
	n->names = calloc(NAMES_MAX, sizeof(*n->names));
	if (!n->slots || !n->names)
		n = vu_naming_free(n);
	*ret = n;
	return n ? 0 : -ENOMEM;
}

/* ---- one object ---- */

static void set_all(struct vu_naming *n, const struct slot *s, int r)
{
	for (uint32_t i = s->first; i != VU_END; i = n->names[i].next)
		n->names[i].r = r;
}

static int change(const struct vu_naming *n, const struct slot *s, const struct wanted_name *w)
{
	if (!n->env->take)
		return vu_link_fd(s->object->fd, w->dir, w->name);
	if (!unlinkat(w->dir, w->name, 0))
		return 0;
	/* gone already, or another file's name by now: whoever looks again finds that */
	return errno == ENOENT ? 0 : -errno;
}

/* Inside a moment: what was given is not to be had. */
static int undo_names(struct vu_naming *n, struct slot *s, int why)
{
	int r = 0;

	for (uint32_t i = s->first; i != VU_END; i = n->names[i].next) {
		struct wanted_name *w = &n->names[i];

		if (!w->r && unlinkat(w->dir, w->name, 0))
			r = -errno;
		w->r = why;
	}
	s->n_done = 0;
	return r;
}

/* Inside a moment. At the limit of links none is given: those of one inode stay together. */
static int change_names(struct vu_naming *n, struct slot *s)
{
	for (uint32_t i = s->first; i != VU_END; i = n->names[i].next) {
		struct wanted_name *w = &n->names[i];

		w->r = change(n, s, w);
		s->n_done += !w->r;
		if (w->r == -EMLINK)
			return undo_names(n, s, -EMLINK);
	}
	return 0;
}

/* Somebody got in while names were given: in a further moment they are taken back. */
static int take_back(struct vu_naming *n, struct slot *s)
{
	int r = vu_moment_begin_inside(n->env->moment, s->object), e;

	if (r)
		return r;
	r = undo_names(n, s, VU_NAMING_BUSY);
	e = vu_moment_end(n->env->moment, s->object, -EBADF);
	return e ? e : r;
}

/* In the freezer, where that is possible. */
static int moment_for(struct vu_naming *n, struct slot *s)
{
	int r = s->object->lost ? -ESTALE : vu_moment_begin_inside(n->env->moment, s->object);

	if (r) {
		set_all(n, s, r == -ESTALE ? VU_NAMING_BUSY : r);
		return r == -ESTALE ? 0 : r;
	}
	r = change_names(n, s);
	int e = vu_moment_end(n->env->moment, s->object, -EBADF);

	r = e ? e : r;
	if (!r && s->object->lost && !n->env->take && s->n_done)
		r = take_back(n, s);
	return r;
}

static int open_slot(struct vu_naming *n, struct slot *s)
{
	struct vu_stat st = {0};
	int r = n->slips && vu_pool_object_slipped(n->env->pool, &s->key);

	/* one that is damaged is not to spread */
	if (!r && n->quarantine && vu_quarantine_has(n->env->pool, &s->key, s->ino))
		r = -ESTALE;
	if (!r)
		r = vu_object_open_in_batch(n->env->pool, &s->key, n->claims,
					    n->env->moment->max_xattr_bytes, &s->object, &st);

	if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return r;
	if (!r && st.version.ino != s->ino) {
		s->object = vu_object_unref(n->env->moment, s->object);
		r = -ESTALE;
	}
	s->n_links = st.n_links;
	if (r)
		set_all(n, s, r > 0 ? VU_NAMING_BUSY : r);
	return 0;
}

/* ---- a thread's ---- */

/* Whoever is on his way since a moment ended does not wait for long. groups: a bit for each, of this thread. */
static void look_at(struct vu_naming *n, uint32_t groups)
{
	for (uint32_t i = 0; i < n->n_slots; i++)
		if (groups & UINT32_C(1) << i / TOGETHER && n->slots[i].object)
			vu_moment_look(n->env->moment, n->slots[i].object);
}

static int moments(struct vu_naming *n, uint32_t from, uint32_t to)
{
	struct vu_freezer *f = vu_moment_freezer(n->env->moment);
	int in = vu_freezer_enter(f), r = 0;

	for (uint32_t i = from; !r && i < to; i++) {
		if (!n->slots[i].object)
			continue;
		if (!in && !vu_freezer_has_time(f)) {
			vu_freezer_leave(f);
			in = vu_freezer_enter(f);
		}
		if (in)
			set_all(n, &n->slots[i], in);
		else
			r = moment_for(n, &n->slots[i]);
	}
	if (!in)
		vu_freezer_leave(f);
	return r;
}

static int work(void *arg, unsigned thread)
{
	struct vu_naming *n = arg;
	uint64_t looked_ns = vu_moment_now();
	uint32_t groups = 0;
	int r = 0;

	(void)thread;
	while (!r && !n->error) {
		uint32_t from = atomic_fetch_add(&n->next, TOGETHER);
		uint32_t to = VU_MIN(from + TOGETHER, n->n_slots);

		if (from >= n->n_slots)
			break;
		for (uint32_t i = from; !r && i < to; i++)
			r = open_slot(n, &n->slots[i]);
		if (!r)
			r = moments(n, from, to);
		groups |= UINT32_C(1) << from / TOGETHER;
		if (vu_moment_now() > looked_ns + LOOK_NS) {
			look_at(n, groups);
			looked_ns = vu_moment_now();
		}
	}
	if (r && !n->error)
		n->error = r;
	return r;
}

/* ---- a batch ---- */

static int close_slot(struct vu_naming *n, struct slot *s)
{
	bool unused = n->env->take && s->object && !s->object->lost && s->n_links == s->n_done + 1;

	s->object = vu_object_unref(n->env->moment, s->object);
	if (!unused)
		return 0;
	int r = vu_moment_remove_unused(n->env->moment, n->env->pool, &s->key);

	if (!r)
		__atomic_fetch_add(&n->stats.objects_removed, 1, __ATOMIC_RELAXED);
	return r == -EBUSY || r == -ENOENT ? 0 : r;
}

/* A thread's share of that: to end the lease and close takes a third of the time of all. */
static int close_some(void *arg, unsigned thread)
{
	struct vu_naming *n = arg;
	int r = 0;

	(void)thread;
	for (;;) {
		uint32_t from = atomic_fetch_add(&n->next, TOGETHER);
		uint32_t to = VU_MIN(from + TOGETHER, n->n_slots);

		if (from >= n->n_slots)
			return r;
		for (uint32_t i = from; i < to; i++) {
			int e = close_slot(n, &n->slots[i]);

			r = r ? r : e;
		}
	}
}

static void tell(struct vu_naming *n)
{
	for (uint32_t i = 0; i < n->n_slots; i++)
		for (uint32_t k = n->slots[i].first; k != VU_END; k = n->names[k].next) {
			n->stats.names += !n->names[k].r;
			n->env->done(n->env->arg, n->names[k].cookie, n->names[k].name,
				     n->slots[i].ino, n->names[k].r);
		}
}

static void clear(struct vu_naming *n)
{
	for (uint32_t i = 0; i < n->n_names; i++)
		free(n->names[i].name);
	n->n_names = n->n_slots = 0;
	vu_inomap_done(&n->by_ino);
	n->by_ino = (struct vu_inomap){0};
}

static int any_slip(void *arg, const struct vu_key *key)
{
	(void)arg;
	(void)key;
	return 1;
}

int vu_naming_flush(struct vu_naming *n)
{
	struct vu_claims *claims = vu_pool_claims(n->env->pool);
	unsigned threads = VU_MIN(VU_MAX(n->env->jobs, 1U), n->n_slots / TOGETHER + 1);
	int r = n->n_slots ? vu_claims_begin(claims) : 0, e;

	if (r < 0 || !n->n_slots)
		return r;
	n->claims = r;
	/* while others share the pool one may come at any time */
	n->quarantine = !n->env->take && vu_quarantine_is_used(n->env->pool);
	n->slips = n->claims || vu_slip_each(n->env->pool, any_slip, NULL);
	n->next = 0;
	n->error = 0;
	r = vu_crew_run(threads, work, n);
	n->next = 0;
	e = vu_crew_run(threads, close_some, n);
	r = r ? r : e;
	if (!n->claims)
		vu_claims_end(claims);
	tell(n);
	clear(n);
	return r;
}

static bool is_full(const struct vu_naming *n)
{
	uint32_t most = n->claims ? VU_MIN(n->max_slots, (uint32_t)OBJECTS_CLAIMED) : n->max_slots;

	return n->n_names == NAMES_MAX || n->n_slots >= most;
}

/* The slot of an object, new or known. */
static int slot_of(struct vu_naming *n, const struct vu_key *key, uint64_t ino, uint32_t *ret)
{
	if (vu_inomap_get(&n->by_ino, ino, ret))
		return 0;
	int r = vu_inomap_set(&n->by_ino, ino, n->n_slots);

	if (r)
		return r;
	*ret = n->n_slots++;
	n->slots[*ret] = (struct slot){.key = *key, .ino = ino, .first = VU_END};
	return 0;
}

int vu_naming_add(struct vu_naming *n, const struct vu_key *key, uint64_t ino, int dir,
		  const char *name, void *cookie)
{
	uint32_t slot;
	char *copy = strdup(name);
	int r = copy ? slot_of(n, key, ino, &slot) : -ENOMEM;

	if (r) {
		free(copy);
		n->env->done(n->env->arg, cookie, name, ino, r);
		return r;
	}
	/* what no thread comes to because the run ends */
	n->names[n->n_names] = (struct wanted_name){
		.next = n->slots[slot].first,
		.dir = dir,
		.r = -ECANCELED,
		.cookie = cookie,
		.name = copy,
	};
	n->slots[slot].first = n->n_names++;
	return is_full(n) ? vu_naming_flush(n) : 0;
}

struct vu_naming_stats vu_naming_stats(const struct vu_naming *n)
{
	return n ? n->stats : (struct vu_naming_stats){0};
}

struct vu_naming *vu_naming_free(struct vu_naming *n)
{
	if (!n)
		return NULL;
	clear(n);
	free(n->slots);
	free(n->names);
	free(n);
	return NULL;
}
