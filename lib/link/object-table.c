/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/object-table.h"

#include <errno.h>
#include <linux/stat.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "fs/guard.h"

#define ENTRIES 128 /* descriptors, and claims that the kernel keeps in a list */
#define KEEP_NS                                                                                    \
	UINT64_C(                                                                                  \
		10000000) /* longer than a cool-down; a linker waits for less than five times that */
#define TICK_NS UINT64_C(2000000)
#define LOOK_NS UINT64_C(50000000)

struct entry {
	uint64_t ino;		  /* 0: free */
	struct vu_object *object; /* owned; NULL: being opened, or given back */
	unsigned users;
	uint64_t left_ns;   /* when its last user left */
	uint64_t looked_ns; /* when it was last looked at whether somebody waits */
};

struct vu_object_table {
	struct vu_moment_env *env;
	const struct vu_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* one was opened, or one is free */
	pthread_cond_t filled;	/* there is something for the thread to do */
	pthread_t thread;
	bool quit;
	unsigned n; /* in use */
	struct entry v[ENTRIES];
};

static struct entry *find(struct vu_object_table *t, uint64_t ino)
{
	for (size_t i = 0; i < ENTRIES; i++)
		if (t->v[i].ino == ino)
			return &t->v[i];
	return NULL;
}

/* ---- giving back; the lock is held before and after ---- */

static bool is_due(const struct entry *e, uint64_t now)
{
	return e->ino && e->object && !e->users && now >= e->left_ns + KEEP_NS;
}

/* No guest has it any more. */
static void remove_unused(struct vu_object_table *t, const struct vu_key *key)
{
	(void)vu_moment_remove_unused(t->env, t->pool, key); /* else recovery does */
}

static void give_back(struct vu_object_table *t, struct entry *e)
{
	struct vu_object *o = e->object;
	struct vu_key key = o->key;
	struct vu_stat st;

	e->object = NULL; /* whoever asks for it waits: there is one lease on an inode */
	pthread_mutex_unlock(&t->lock);
	bool unused = !o->given && !vu_stat_fd(o->fd, &st) && st.n_links == 1 &&
		      vu_guard_or_flag_holds(o->fd, &st);

	vu_object_unref(t->env, o);
	if (unused)
		remove_unused(t, &key);
	pthread_mutex_lock(&t->lock);
	*e = (struct entry){0};
	t->n--;
	pthread_cond_broadcast(&t->changed);
}

/* Whoever is on his way since a moment ended does not wait for long. */
static void look(struct vu_object_table *t, struct entry *e, uint64_t now)
{
	struct vu_object *o = e->object;

	e->looked_ns = now;
	e->users++;
	pthread_mutex_unlock(&t->lock);
	vu_moment_look(t->env, o);
	pthread_mutex_lock(&t->lock);
	e->users--;
}

static void tend(struct vu_object_table *t)
{
	uint64_t now = vu_moment_now();

	for (size_t i = 0; i < ENTRIES; i++) {
		struct entry *e = &t->v[i];

		if (is_due(e, t->quit ? UINT64_MAX : now))
			give_back(t, e);
		else if (e->ino && e->object && now >= e->looked_ns + LOOK_NS)
			look(t, e, now);
	}
}

static void *tend_all(void *arg)
{
	struct vu_object_table *t = arg;

	pthread_mutex_lock(&t->lock);
	while (!t->quit || t->n) {
		if (!t->n) {
			pthread_cond_wait(&t->filled, &t->lock);
			continue;
		}
		tend(t);
		pthread_mutex_unlock(&t->lock);
		nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ---- */

int vu_object_table_new(struct vu_moment_env *env, const struct vu_pool *pool,
			struct vu_object_table **ret)
{
	struct vu_object_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->env = env;
	t->pool = pool;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	pthread_cond_init(&t->filled, NULL);
	int r = -pthread_create(&t->thread, NULL, tend_all, t);

	if (r) {
		free(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct vu_object_table *vu_object_table_free(struct vu_object_table *t)
{
	if (!t)
		return NULL;
	pthread_mutex_lock(&t->lock);
	t->quit = true;
	pthread_cond_signal(&t->filled);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	pthread_cond_destroy(&t->filled);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

/* With the lock: a free entry for it, which is waited for. */
static struct entry *reserve(struct vu_object_table *t, uint64_t ino)
{
	struct entry *e = find(t, 0);

	if (!e)
		return NULL;
	*e = (struct entry){.ino = ino, .users = 1};
	t->n++;
	pthread_cond_signal(&t->filled);
	return e;
}

static int open_into(struct vu_object_table *t, struct entry *e, const struct vu_key *key)
{
	struct vu_object *o = NULL;

	pthread_mutex_unlock(&t->lock);
	int r = vu_pool_object_slipped(t->pool, key)
			? 1
			: vu_object_open(t->pool, key, true, t->env->max_xattr_bytes, &o, NULL);

	if (!r && o->ino != e->ino) {
		vu_object_unref(t->env, o);
		r = -ESTALE;
	}
	pthread_mutex_lock(&t->lock);
	if (r) {
		*e = (struct entry){0};
		t->n--;
	} else {
		e->object = o;
		e->looked_ns = vu_moment_now();
	}
	pthread_cond_broadcast(&t->changed);
	return r;
}

int vu_object_table_get(struct vu_object_table *t, const struct vu_key *key, uint64_t ino,
			struct vu_object **ret)
{
	struct entry *e;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	for (;;) {
		e = find(t, ino);
		if (e && e->object) {
			e->users++;
			break;
		}
		if (!e && (e = reserve(t, ino))) {
			r = open_into(t, e, key);
			break;
		}
		pthread_cond_wait(&t->changed, &t->lock);
	}
	if (!r)
		*ret = e->object;
	pthread_mutex_unlock(&t->lock);
	return r;
}

void vu_object_table_put(struct vu_object_table *t, struct vu_object *o)
{
	pthread_mutex_lock(&t->lock);
	struct entry *e = find(t, o->ino);

	if (e) {
		e->users--;
		e->left_ns = vu_moment_now();
	}
	pthread_mutex_unlock(&t->lock);
}
