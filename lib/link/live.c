/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One break is one item of the breaker (link/break-item.c): object from the table, copy in the stage of
 * this worker's slot, a line in its journal, the moment. It differs in what is on disk when:
 *
 *  - there is no sync of the file system. Where the copy does not share the object's extents its content is
 *    written first (fdatasync), so that the name never points at a file whose content is missing after a
 *    power cut. Otherwise all of it is metadata, which ext4, XFS and btrfs bring to disk in order.
 *  - the journal is not synced. After a power cut a line may be missing: then the temporary name says which
 *    inode the copy is, and what else is found there is rescued (link/recover-stage.c).
 *  - the journal is emptied only now and then: a line whose temporary name is gone says nothing.
 */
#include "link/live.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/exchange.h"
#include "link/break-item.h"
#include "link/object-table.h"
#include "link/pool-index.h"

#define JOURNAL_MAX 100 /* breaks after which the journal is emptied */

struct vu_live {
	const struct vu_live_env *env;
	struct vu_pool_index *index;   /* owned */
	struct vu_object_table *table; /* owned */
	struct vu_moment_env moment;   /* of the table's thread; its sink_lock is for all */
	struct vu_live_stats stats;    /* advanced atomically */
	_Atomic bool slots[VU_SLOT_MAX - VU_SLOT_SHARED]; /* workers of this process have them */
};

struct vu_live_worker {
	struct vu_live *live;
	struct vu_breaking breaking;
	struct vu_breaker_env env;
	struct vu_breaker_stats stats;
	struct vu_pool *pools[1];
	struct vu_sink sink;
	unsigned n_lines; /* breaks that the journal has */
	/* why the item at work was left as it was */
	enum vu_skip skip;
	int err;
};

/* ---- */

int vu_live_new(const struct vu_live_env *env, struct vu_live **ret)
{
	struct vu_live *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->env = env;
	vu_moment_env_init(&l->moment, env->sink, env->max_xattr_bytes);
	l->moment.watch = env->watch;
	int r = vu_pool_index_new(env->pool, &l->index);

	if (!r)
		r = vu_object_table_new(&l->moment, env->pool, &l->table);
	if (r)
		vu_live_free(l);
	else
		*ret = l;
	return r;
}

struct vu_live *vu_live_free(struct vu_live *l)
{
	if (!l)
		return NULL;
	vu_object_table_free(l->table);
	vu_pool_index_free(l->index);
	vu_moment_env_done(&l->moment);
	free(l);
	return NULL;
}

int vu_live_find(struct vu_live *l, const struct vu_stat *st, struct vu_key *ret)
{
	return vu_pool_index_find(l->index, st, ret);
}

void vu_live_stats(const struct vu_live *l, struct vu_live_stats *ret)
{
	ret->names = __atomic_load_n(&l->stats.names, __ATOMIC_RELAXED);
	ret->inodes = __atomic_load_n(&l->stats.inodes, __ATOMIC_RELAXED);
	ret->copied_bytes = __atomic_load_n(&l->stats.copied_bytes, __ATOMIC_RELAXED);
	ret->given = __atomic_load_n(&l->stats.given, __ATOMIC_RELAXED);
	ret->renamed = __atomic_load_n(&l->stats.renamed, __ATOMIC_RELAXED);
	ret->slips = __atomic_load_n(&l->stats.slips, __ATOMIC_RELAXED);
}

/* ---- workers ---- */

/* What concerns the one item is the answer to who waits; the rest is for all to hear. */
static void on_event(void *arg, const struct vu_event *e)
{
	struct vu_live_worker *w = arg;

	if (e->kind == VU_EVENT_SKIP) {
		w->skip = e->skip;
		w->err = e->err;
		return;
	}
	vu_moment_emit(&w->live->moment, e);
}

/* Claims are the process's: whose of its workers a slot is has to be told apart. */
static int claim_slot(struct vu_live *l, unsigned slot)
{
	int r;

	if (atomic_exchange(&l->slots[slot - VU_SLOT_SHARED], true))
		return VU_CLAIMED;
	r = vu_claim_slot(vu_pool_claims(l->env->pool), slot);
	if (r)
		l->slots[slot - VU_SLOT_SHARED] = false;
	return r;
}

static void release_slot(struct vu_live *l, unsigned slot)
{
	vu_claim_slot_release(vu_pool_claims(l->env->pool), slot);
	l->slots[slot - VU_SLOT_SHARED] = false;
}

/* The first slot that is nobody's, and has nothing left of somebody who was killed. */
static int enter_slot(struct vu_live_worker *w)
{
	struct vu_breaking *b = &w->breaking;

	for (b->slot = VU_SLOT_SHARED; b->slot < VU_SLOT_MAX; b->slot++) {
		int r = claim_slot(w->live, b->slot);

		if (r < 0)
			return r;
		if (r)
			continue;
		r = vu_breaking_enter(b, 0);
		if (!r)
			return 0;
		release_slot(w->live, b->slot);
		if (r != -EBUSY)
			return r;
	}
	return -EUSERS;
}

static void leave_slot(struct vu_live_worker *w)
{
	struct vu_breaking *b = &w->breaking;

	if (!b->open)
		return;
	if (!b->unsettled)
		(void)vu_journal_reset(&b->journal);
	vu_breaking_leave(b);
	release_slot(w->live, b->slot);
	b->unsettled = 0;
	w->n_lines = 0;
}

int vu_live_worker_new(struct vu_live *l, struct vu_live_worker **ret)
{
	struct vu_live_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->live = l;
	w->pools[0] = l->env->pool;
	w->sink = (struct vu_sink){on_event, w};
	w->env = (struct vu_breaker_env){
		.guests = l->env->guests,
		.root_fds = l->env->root_fds,
		.pools = w->pools,
		.n_pools = 1,
		.max_xattr_bytes = l->env->max_xattr_bytes,
		.sink = &w->sink,
		.watch = l->env->watch,
	};
	w->breaking = (struct vu_breaking){
		.env = &w->env, .stats = &w->stats, .stage = -EBADF, .live = true};
	vu_moment_env_init(&w->breaking.moment, &w->sink, l->env->max_xattr_bytes);
	w->breaking.moment.watch = l->env->watch;
	/* its slot is taken when there is something to be copied: names alone change without one */
	int r = getrandom(&w->breaking.prefix, sizeof(w->breaking.prefix), 0) ==
				sizeof(w->breaking.prefix)
			? 0
			: -EIO;

	if (r)
		vu_live_worker_free(w);
	else
		*ret = w;
	return r;
}

struct vu_live_worker *vu_live_worker_free(struct vu_live_worker *w)
{
	if (!w)
		return NULL;
	leave_slot(w);
	vu_moment_env_done(&w->breaking.moment);
	free(w);
	return NULL;
}

/* ---- one break ---- */

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void count(struct vu_live_worker *w)
{
	struct vu_live_stats *s = &w->live->stats;

	add(&s->names, w->stats.names);
	add(&s->inodes, w->stats.inodes);
	add(&s->copied_bytes, w->stats.copied_bytes);
	add(&s->given, w->stats.given);
	add(&s->slips, w->breaking.moment.stats.slips);
	w->stats = (struct vu_breaker_stats){0};
	w->breaking.moment.stats.slips = 0;
}

/* Something is left in the stage for recovery, or the journal has become long. */
static int tidy(struct vu_live_worker *w)
{
	struct vu_breaking *b = &w->breaking;

	if (b->unsettled) {
		leave_slot(w);
		return 0;
	}
	if (++w->n_lines < JOURNAL_MAX)
		return 0;
	w->n_lines = 0;
	return vu_journal_reset(&b->journal);
}

static int get(struct vu_live_worker *w, const struct vu_live_name *name, struct vu_object **ret)
{
	int r = vu_object_table_get(w->live->table, &name->key, name->ino, ret);

	if (r == -ENOENT || r == -ESTALE) {
		vu_pool_index_stale(w->live->index);
		return VU_LIVE_CHANGED;
	}
	return r > 0 ? VU_LIVE_BUSY : r;
}

static int break_item(struct vu_live_worker *w, struct vu_breaking_item *item)
{
	struct vu_breaking *b = &w->breaking;
	struct vu_stat st;
	int r = vu_stat_fd(item->object->fd, &st);

	if (r)
		return r;
	item->n_links = st.n_links;
	item->size = item->empty ? 0 : st.version.size;
	/* the last who has it gets the inode itself */
	if (st.n_links != item->it->n_paths + 1)
		r = vu_breaking_copy(b, item);
	if (!r)
		r = vu_breaking_sync(b);
	return r ? r : vu_breaking_move(b, item);
}

/* The item's references go with it. */
static int answer(struct vu_live_worker *w, struct vu_breaking_item *item, int r)
{
	struct vu_breaking *b = &w->breaking;
	bool moved = w->stats.names > 0;

	vu_breaking_drop(b, item);
	item->object = vu_object_unref(&b->moment, item->object);
	if (r)
		return r;
	if (item->it->done)
		return moved ? 0 : VU_LIVE_CHANGED;
	if (w->skip == VU_SKIP_CHANGED)
		return VU_LIVE_CHANGED;
	return w->skip == VU_SKIP_OPEN_FOR_WRITE || !w->err ? VU_LIVE_BUSY : w->err;
}

int vu_live_break(struct vu_live_worker *w, const struct vu_live_name *name)
{
	struct vu_break_item it = {
		.guest = name->guest,
		.key = name->key,
		.ino = name->ino,
		.paths = name->paths,
		.n_paths = name->n_paths,
	};
	struct vu_breaking_item item = {
		.it = &it, .copy_fd = -EBADF, .empty = name->empty && name->n_paths == 1};
	struct vu_object *o = NULL;
	int r = w->breaking.open ? 0 : enter_slot(w), e;

	if (!r)
		r = get(w, name, &o);
	if (r)
		return r;
	w->skip = VU_SKIP_NONE;
	w->err = 0;
	item.object = vu_object_ref(o);
	r = break_item(w, &item);
	r = answer(w, &item, r);
	vu_object_table_put(w->live->table, o);
	count(w);
	e = tidy(w);
	return r ? r : e;
}

/* ---- names alone ---- */

struct change {
	const struct vu_live_place *is, *other;
	int (*fn)(const struct change *c, const struct vu_object *o);
};

static int make_change(const struct vu_live_name *name, const struct change *c,
		       const struct vu_object *o)
{
	if (name->changing)
		name->changing(name->changed_arg, name->ino);
	return c->fn(c, o);
}

/* One moment for one system call. */
static int change_names(struct vu_live_worker *w, const struct vu_live_name *name,
			const struct change *c)
{
	struct vu_moment_env *env = &w->breaking.moment;
	struct vu_object *o = NULL;
	struct vu_stat st;
	int r = get(w, name, &o), e;

	if (r)
		return r;
	r = vu_moment_begin_strict(env, o);
	if (!r) {
		r = vu_stat_at(c->is->dir, c->is->base, &st);
		if (!r)
			r = st.version.ino == name->ino ? make_change(name, c, o) : VU_LIVE_CHANGED;
		else if (r == -ENOENT)
			r = VU_LIVE_CHANGED;
		if (!r && name->changed)
			name->changed(name->changed_arg);
		e = vu_moment_end(env, o, -EBADF);
		/* that is told as damage; whoever asked for what was done hears that it was */
		if (r && e)
			r = e;
	} else if (r == -ESTALE || r == -EAGAIN) {
		r = VU_LIVE_BUSY;
	}
	vu_object_table_put(w->live->table, o);
	if (!r)
		add(&w->live->stats.renamed, 1);
	count(w);
	return r;
}

static int do_unlink(const struct change *c, const struct vu_object *o)
{
	(void)o;
	return unlinkat(c->is->dir, c->is->base, 0) ? -errno : 0;
}

static int do_rename_over(const struct change *c, const struct vu_object *o)
{
	(void)o;
	return renameat(c->other->dir, c->other->base, c->is->dir, c->is->base) ? -errno : 0;
}

static int do_link(const struct change *c, const struct vu_object *o)
{
	return vu_link_fd(o->fd, c->other->dir, c->other->base);
}

int vu_live_unlink(struct vu_live_worker *w, const struct vu_live_name *name,
		   const struct vu_live_place *is)
{
	return change_names(w, name, &(struct change){is, NULL, do_unlink});
}

int vu_live_rename_over(struct vu_live_worker *w, const struct vu_live_name *name,
			const struct vu_live_place *from, const struct vu_live_place *is)
{
	return change_names(w, name, &(struct change){is, from, do_rename_over});
}

int vu_live_link(struct vu_live_worker *w, const struct vu_live_name *name,
		 const struct vu_live_place *is, const struct vu_live_place *to)
{
	return change_names(w, name, &(struct change){is, to, do_link});
}
