/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An object's name is the hash of all that it should be: so content and metadata are proven by computing it anew. It
 * does not tell what is wrong: that is told by the catalog, where that has the object. The domain belongs to the
 * key, and that of guests that are registered no more is not known: such an object is sound where it is
 * what the catalog recorded when it was made; and where that does not know it either, it is in doubt until it is seen
 * who has it.
 *
 * Metadata that differ from the catalog's make an object suspect, as status says, and its content is read
 * whatever part was asked for.
 */
#include "ops/verify-pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crew.h"
#include "base/stop.h"
#include "base/want.h"
#include "fs/guard.h"
#include "fs/stat.h"
#include "fs/xattr.h"
#include "link/identify.h"
#include "link/pool-odd.h"
#include "ops/farm.h"

#define OPEN_TRIES 50 /* looks, 10 ms apart, at an object whose flag is off for a moment */

struct checking {
	const struct vu_verify_env *env;
	const struct vu_pool *pool;
	const struct vu_inomap *recorded;
	struct vu_checked_pool *p;
	uint64_t from;
	atomic_uint next;
	pthread_mutex_t lock; /* p's counters, and the sink */
};

/* One thread. */
struct checker {
	struct checking *c;
	struct vu_identifier w;
	uint64_t read, bytes;
	uint32_t late; /* index of the first object for which there was no time; p->n: none */
};

/* What is known of one object while it is looked at. */
struct looked {
	struct vu_stat st;
	struct vu_attr attr;
	struct vu_digest content;
	const struct vu_inode *record; /* of the same key; or NULL */
};

void vu_checked_pool_done(struct vu_checked_pool *p)
{
	free(p->v);
	vu_inomap_done(&p->by_ino);
	*p = (struct vu_checked_pool){0};
}

/* ---- telling ---- */

void vu_verify_tell(const struct vu_verify_env *env, const struct vu_checked *o, int err,
		    const char *text)
{
	char name[VU_KEY_NAME_MAX];

	vu_key_name(&o->key, name);
	vu_emit(&env->session->counting,
		&(struct vu_event){.kind = env->repair ? VU_EVENT_WARN : VU_EVENT_DAMAGE,
				   .object = name,
				   .err = err,
				   .text = text});
}

static void tell(struct checking *c, const struct vu_checked *o, int err, const char *text)
{
	pthread_mutex_lock(&c->lock);
	vu_verify_tell(c->env, o, err, text);
	pthread_mutex_unlock(&c->lock);
}

static const struct vu_attr *recorded_attr(const struct checking *c, const struct vu_inode *n)
{
	const struct vu_tree *t = c->env->tree;

	return !t || n->attr == VU_NONE ? NULL : vu_attrs_at(t->attrs, n->attr);
}

static const char *what_differs(const struct checking *c, const struct looked *l)
{
	const struct vu_attr *a = recorded_attr(c, l->record);

	if (!a || l->record->content == VU_NONE)
		return "its content or its metadata are";
	if (l->st.version.size != l->record->size)
		return "its size is";
	if (memcmp(&l->content, &vu_tree_content(c->env->tree, l->record->content)->digest,
		   sizeof(l->content)) != 0)
		return "its content is";
	if (l->attr.mode != a->mode)
		return "its mode is";
	if (l->attr.uid != a->uid || l->attr.gid != a->gid)
		return "its owner is";
	if (l->st.version.mtime_ns != l->record->mtime_ns)
		return "its modification time is";
	if (memcmp(&l->attr.xattrs, &a->xattrs, sizeof(a->xattrs)) != 0)
		return "its extended attributes are";
	return "its inode flags, or its name, are";
}

static void tell_bad(struct checking *c, const struct vu_checked *o, const struct looked *l)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "the object is damaged: %s not what its name says",
		     what_differs(c, l)) < 0)
		text = NULL;
	tell(c, o, 0, text ? text : "the object is damaged");
}

/* ---- one object ---- */

/* Of the same key: the number of an inode that is gone may be another object's by now. */
static const struct vu_inode *record_of(const struct checking *c, const struct vu_checked *o)
{
	uint32_t i;

	if (!c->env->tree || !vu_inomap_get(c->recorded, o->ino, &i))
		return NULL;
	const struct vu_inode *n = vu_tree_inode(c->env->tree, i);

	return vu_place_compare(vu_tree_key(c->env->tree, n->key), &o->key) ? NULL : n;
}

static bool differs(const struct checking *c, const struct looked *l)
{
	const struct vu_attr *a = recorded_attr(c, l->record);

	return l->st.version.size != l->record->size ||
	       l->st.version.mtime_ns != l->record->mtime_ns ||
	       (a && (l->st.mode != a->mode || l->st.uid != a->uid || l->st.gid != a->gid));
}

/* Everything but the flag is as recorded when the object was made. */
static bool is_as_recorded(const struct checking *c, const struct looked *l)
{
	const struct vu_attr *a = l->record ? recorded_attr(c, l->record) : NULL;

	return a && a->full && l->record->content != VU_NONE && !differs(c, l) &&
	       a->flags == l->attr.flags && a->has_xattrs == l->attr.has_xattrs &&
	       !memcmp(&a->xattrs, &l->attr.xattrs, sizeof(a->xattrs)) &&
	       !memcmp(&vu_tree_content(c->env->tree, l->record->content)->digest, &l->content,
		       sizeof(l->content));
}

/* Is its flag off for good? Whoever breaks links beside this has claimed it, and puts it on again. */
static bool is_open(const struct checking *c, int fd, struct vu_stat *st)
{
	const struct vu_claims *claims = vu_pool_claims(c->pool);

	for (int i = 0; i < OPEN_TRIES && !vu_guard_or_flag_holds(fd, st); i++) {
		bool claimed = vu_claim_is_taken(claims, st->version.ino);

		if (vu_stat_fd(fd, st) || (!claimed && !vu_guard_or_flag_holds(fd, st)))
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	return !vu_guard_or_flag_holds(fd, st);
}

static int read_object(struct checker *k, struct vu_checked *o, int fd, struct looked *l)
{
	struct checking *c = k->c;
	int r = vu_identify_with(&k->w, fd, &o->key, NULL, VU_XATTR_ANY, &l->st, &l->attr,
				 &l->content);

	if (r == -ECANCELED || vu_is_want(r))
		return r;
	o->flags |= VU_CHECKED_READ;
	k->read++;
	k->bytes += l->st.version.size;
	if (!r && is_as_recorded(c, l))
		r = 1;
	if (r > 0) {
		o->flags |= l->record && differs(c, l) ? VU_CHECKED_RECORD : 0;
		return 0;
	}
	/* without a record it is not known of which domain it is: who has it may tell */
	o->flags |= r || l->record ? VU_CHECKED_BAD : VU_CHECKED_DOUBT;
	if (r)
		tell(c, o, r, "the object is damaged: it cannot be read");
	else if (l->record)
		tell_bad(c, o, l);
	return 0;
}

static bool is_late(const struct checking *c)
{
	return c->env->deadline_ns && (uint64_t)vu_clock_ns() >= c->env->deadline_ns;
}

/* Is its content to be read? If only time is lacking, *ret_late. */
static bool is_asked_for(const struct checking *c, const struct vu_checked *o, bool *ret_late)
{
	if (vu_place_of(&o->key) < c->from || !vu_subset_has(&c->env->subset, &o->key))
		return false;
	*ret_late = is_late(c);
	return !*ret_late;
}

static int check_open(struct checker *k, struct vu_checked *o, int fd, const struct vu_stat *st,
		      bool *ret_late)
{
	struct checking *c = k->c;
	struct looked l = {.st = *st};

	o->ino = st->version.ino;
	o->n_links = st->n_links;
	l.record = record_of(c, o);
	if (is_open(c, fd, &l.st)) {
		o->flags |= VU_CHECKED_OPEN;
		tell(c, o, 0,
		     "the object is not immutable, and its guests could change each other's file: "
		     "run `vunify recover`");
	}
	if (c->env->tree && !l.record)
		o->flags |= VU_CHECKED_UNKNOWN;
	bool suspect = o->flags & VU_CHECKED_OPEN || (l.record && differs(c, &l));

	return suspect || is_asked_for(c, o, ret_late) ? read_object(k, o, fd, &l) : 0;
}

static int check(struct checker *k, struct vu_checked *o, bool *ret_late)
{
	struct checking *c = k->c;
	struct vu_stat st;
	_cleanup_fd_ int fd = vu_pool_object_open_stat(c->pool, &o->key, &st);
	int r = fd < 0 ? fd : check_open(k, o, fd, &st, ret_late);

	if (!r || r == -ECANCELED || vu_is_want(r))
		return r;
	if (r == -ENOENT) {
		o->flags |= VU_CHECKED_GONE;
	} else if (r == -ESTALE) {
		o->flags |= VU_CHECKED_ODD;
		tell(c, o, 0,
		     "this name in the pool is no regular file, and nothing that vunify made: "
		     "remove it by hand");
	} else {
		o->flags |= VU_CHECKED_READ | VU_CHECKED_BAD;
		tell(c, o, r, "the object is damaged: it cannot be read");
	}
	return 0;
}

/* ---- all of them ---- */

/* Adds what one thread has done. */
static void add_up(struct checker *k)
{
	struct vu_checked_pool *p = k->c->p;

	pthread_mutex_lock(&k->c->lock);
	p->read += k->read;
	p->bytes += k->bytes;
	if (k->late < p->n) {
		uint64_t place = vu_place_of(&p->v[k->late].key);

		p->next = p->next ? VU_MIN(p->next, place) : place;
	}
	pthread_mutex_unlock(&k->c->lock);
}

static int work(void *arg, unsigned thread)
{
	struct checking *c = arg;
	struct vu_progress *progress = c->env->session->ops->progress;
	struct checker k = {
		.c = c,
		.w = {.domains = c->env->domains, .stops = true, .progress = progress},
		.late = c->p->n,
	};
	int r = vu_identifier_init(&k.w);
	uint32_t i;

	(void)thread;
	while (!r && (i = atomic_fetch_add(&c->next, 1)) < c->p->n) {
		bool late = false;

		r = vu_stop_requested() ? -ECANCELED : check(&k, &c->p->v[i], &late);
		if (r || late)
			k.late = VU_MIN(k.late, i);
		if (progress)
			vu_progress_add(progress, 1, 0);
	}
	add_up(&k);
	vu_identifier_done(&k.w);
	return r;
}

struct list {
	struct vu_checked_pool *p;
	uint32_t cap;
};

static int add(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct list *l = arg;

	if (l->p->n == l->cap) {
		uint32_t cap = l->cap ? 2 * l->cap : 1024;
		struct vu_checked *v = reallocarray(l->p->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->p->v = v;
		l->cap = cap;
	}
	l->p->v[l->p->n++] = (struct vu_checked){.key = *key, .ino = ino};
	return 0;
}

static int by_place(const void *a, const void *b)
{
	return vu_place_compare(&((const struct vu_checked *)a)->key,
				&((const struct vu_checked *)b)->key);
}

static int count(struct vu_checked_pool *p)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < p->n; i++) {
		const struct vu_checked *o = &p->v[i];

		p->open += !!(o->flags & VU_CHECKED_OPEN);
		p->odd += !!(o->flags & VU_CHECKED_ODD);
		p->record += !!(o->flags & VU_CHECKED_RECORD);
		p->unknown += !!(o->flags & VU_CHECKED_UNKNOWN);
		if (!(o->flags & (VU_CHECKED_GONE | VU_CHECKED_ODD)))
			r = vu_inomap_set(&p->by_ino, o->ino, i);
	}
	return r;
}

int vu_verify_pool(const struct vu_verify_env *env, size_t fs, const struct vu_inomap *recorded,
		   uint64_t from, struct vu_checked_pool *ret)
{
	struct checking c = {
		.env = env,
		.pool = env->session->fs[fs].pool,
		.recorded = recorded,
		.p = ret,
		.from = from,
	};
	struct list l = {.p = ret};
	struct vu_pool_look look = {
		.odd = env->stranger,
		.odd_arg = env->arg,
		.object = add,
		.object_arg = &l,
	};

	*ret = (struct vu_checked_pool){0};
	int r = vu_pool_odd_each(c.pool, &look);

	ret->rescued = look.rescued;
	if (r)
		return r;
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_place);
	if (env->session->ops->progress)
		vu_progress_begin(env->session->ops->progress, VU_PHASE_VERIFY, ret->n, 0);
	pthread_mutex_init(&c.lock, NULL);
	r = vu_crew_run(vu_farm_jobs(env->session->ops->config), work, &c);
	pthread_mutex_destroy(&c.lock);
	int e = count(ret);

	return r ? r : e;
}
