/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch:
 *
 *  1. For each item both objects are opened, leased and claimed; what is open already in the batch is
 *     shared, in whichever role: a second lease on an inode would keep the first from being renewed.
 *  2. One journal line for each name; one syncfs(2): the objects and the journal are on disk before the
 *     first name moves.
 *  3. For each item one moment of both objects: each name exchanged with a temporary name of the new object,
 *     as the breaker does it (link/break-item.c). What comes out must be the old object, whose name is
 *     removed then. Else the guest has just put something there: it is exchanged back.
 *  4. Objects that only the pool has are removed; the journal is emptied.
 *
 * A name that could not be moved leads those of its item back: they are names of one file.
 *
 * Killed, or power lost: each name is one of the old or of the new object. What is left in the stage is a
 * name of an object, and is removed; or a guest's own file, which the journal says the place of. Of an
 * inode with several names some may have moved by then: recovery leads the others after them
 * (link/recover-lead.c), before anybody else works on the pool.
 */
#include "link/lead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "link/break-item.h"

#define BATCH 256 /* items: two objects are open for each, at most */
#define LOOK_NS UINT64_C(50000000)

struct leading {
	struct vu_breaking b;
	struct vu_breaking_item *w; /* owned; those of the batch */
	size_t opened;
	bool shared; /* links of the pool are broken beside this (link/claim.h) */
};

static size_t batch_max(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return BATCH / 4;
	return l.rlim_cur / 4 < BATCH ? VU_MAX((size_t)l.rlim_cur / 8, 2) : BATCH;
}

static struct vu_pool *pool_of(const struct leading *v)
{
	return v->b.env->pools[v->b.fs];
}

static bool is_same(const struct vu_key *a, const struct vu_key *b)
{
	return a->generation == b->generation && !memcmp(&a->hash, &b->hash, sizeof(a->hash));
}

/* An object of the batch that is open already, with a reference for the caller; or NULL. */
static struct vu_object *share(const struct leading *v, const struct vu_key *key)
{
	for (size_t i = 0; i < v->opened; i++) {
		struct vu_object *both[] = {v->w[i].object, v->w[i].into};

		for (size_t k = 0; k < VU_ARRAY_SIZE(both); k++)
			if (both[k] && is_same(&both[k]->key, key))
				return vu_object_ref(both[k]);
	}
	return NULL;
}

/* Returns 0; 1 when somebody has it open for writing, or works on it; or a negative errno. */
static int open_object(struct leading *v, const struct vu_key *key, struct vu_object **ret)
{
	*ret = share(v, key);
	if (*ret)
		return 0;
	if (vu_pool_object_slipped(pool_of(v), key))
		return 1;
	return vu_object_open(pool_of(v), key, true, v->b.env->max_xattr_bytes, ret, NULL);
}

static void skip(struct leading *v, struct vu_breaking_item *w, enum vu_skip why, int err)
{
	v->b.stats->failed++;
	vu_moment_emit(&v->b.moment, &(struct vu_event){
					     .kind = VU_EVENT_SKIP,
					     .skip = why,
					     .err = err,
					     .guest = v->b.env->guests->v[w->it->guest].name,
					     .path = w->it->paths[0],
				     });
	w->object = vu_object_unref(&v->b.moment, w->object);
	w->into = vu_object_unref(&v->b.moment, w->into);
}

/* The item at the end of the batch. */
static int open_item(struct leading *v, struct vu_lead *lead)
{
	struct vu_breaking_item *w = &v->w[v->opened];

	*w = (struct vu_breaking_item){.it = &lead->it, .copy_fd = -EBADF};
	v->opened++;
	/* who breaks links meanwhile has to know all names of an inode, and does not learn of these */
	if (v->shared && lead->it.n_paths > 1) {
		skip(v, w, VU_SKIP_NAMES, 0);
		return 0;
	}
	int r = open_object(v, &lead->it.key, &w->object);

	if (!r)
		r = open_object(v, &lead->into, &w->into);
	if (!r && w->object->ino != lead->it.ino)
		r = -ESTALE;
	if (r < 0 && vu_breaking_is_fatal(r))
		return r;
	if (r) {
		skip(v, w, r > 0 ? VU_SKIP_OPEN_FOR_WRITE : VU_SKIP_UNREADABLE, VU_MIN(r, 0));
		return 0;
	}
	w->size = w->into->size;
	return vu_breaking_copy(&v->b, w);
}

/* Whoever is on his way since a moment ended does not wait for long. */
static void look_at_objects(struct leading *v, uint64_t *looked_ns)
{
	if (vu_moment_now() < *looked_ns + LOOK_NS)
		return;
	for (size_t i = 0; i < v->opened; i++) {
		if (!v->w[i].object)
			continue;
		vu_moment_look(&v->b.moment, v->w[i].object);
		vu_moment_look(&v->b.moment, v->w[i].into);
	}
	*looked_ns = vu_moment_now();
}

static int run_items(struct leading *v, struct vu_lead *leads, size_t n)
{
	uint64_t looked_ns = 0;
	int r = 0;

	v->opened = 0;
	for (size_t i = 0; !r && i < n && !vu_stop_requested(); i++)
		r = open_item(v, &leads[i]);
	if (!r)
		r = vu_breaking_sync(&v->b);
	for (size_t i = 0; !r && i < v->opened && !vu_stop_requested(); i++) {
		look_at_objects(v, &looked_ns);
		r = vu_breaking_move(&v->b, &v->w[i]);
		if (r)
			v->b.stats->stopped_at = v->w[i].it;
	}
	/* all that leads into objects first: closing one waits for the end of its cool-down */
	for (size_t i = 0; i < v->opened; i++)
		v->w[i].into = vu_object_unref(&v->b.moment, v->w[i].into);
	for (size_t i = 0; i < v->opened; i++) {
		int e = vu_breaking_close(&v->b, &v->w[i]);

		r = r ? r : e;
	}
	int e = vu_breaking_settled(&v->b);

	return r ? r : e;
}

static int run_batch(struct leading *v, struct vu_lead *leads, size_t n)
{
	struct vu_claims *claims = vu_pool_claims(pool_of(v));
	int r = vu_claims_begin(claims);

	if (r < 0)
		return r;
	v->shared = r;
	r = run_items(v, leads, n);
	if (!v->shared)
		vu_claims_end(claims);
	return r;
}

/* Items of one file system that stand together, at most max. */
static size_t batch_size(const struct vu_lead *leads, size_t n, size_t max)
{
	size_t k = 1;

	while (k < n && k < max && leads[k].it.fs == leads[0].it.fs)
		k++;
	return k;
}

int vu_lead_run(const struct vu_breaker_env *env, struct vu_lead *leads, size_t n,
		struct vu_breaker_stats *ret)
{
	size_t max = batch_max();
	struct leading v = {.b = {.env = env, .stats = ret, .stage = -EBADF}};
	int r = 0;

	*ret = (struct vu_breaker_stats){0};
	v.w = calloc(max, sizeof(*v.w));
	if (!v.w)
		return -ENOMEM;
	if (getrandom(&v.b.prefix, sizeof(v.b.prefix), 0) != sizeof(v.b.prefix))
		r = -EIO;
	vu_moment_env_init(&v.b.moment, env->sink, env->max_xattr_bytes);
	v.b.moment.watch = env->watch;
	for (size_t i = 0, k; !r && i < n; i += k) {
		k = batch_size(leads + i, n - i, max);
		if (vu_stop_requested())
			r = -ECANCELED;
		if (!r)
			r = vu_breaking_enter(&v.b, leads[i].it.fs);
		if (!r)
			r = run_batch(&v, leads + i, k);
		if (r)
			ret->stopped_fs = leads[i].it.fs + 1;
	}
	vu_breaking_leave(&v.b);
	if (!r && vu_stop_requested())
		r = -ECANCELED;
	ret->interrupted = v.b.moment.stats.interrupted;
	ret->slips = v.b.moment.stats.slips;
	ret->put_right = v.b.moment.stats.put_right;
	vu_moment_env_done(&v.b.moment);
	free(v.w);
	return r;
}
