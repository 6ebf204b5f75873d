/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each entry is owned by the thread that has it: free -> filling -> its kind -> free. Killed while
 * filling: nothing has been done yet. Killed before it is freed: closing what is closed does no harm.
 *
 * How an entry is closed hangs on whether the pool has a name of that very inode under its key, for
 * membership in the pool, not the flag, says what is an object:
 *
 *   moment   a member: flag on, and all that belongs to the end of a moment (link/moment.c). None: the
 *            name was taken away, so it is a guest's own file now, and the flag stays off
 *   adopt    a member: it is not one that anybody shares yet: flag off, name away. None: flag off
 *   unused   removed, if nobody has it still
 *
 * The pool is opened anew, by its mount point: only descriptors are shared, not what describes them.
 * What is in the stage and in the journal is left to recovery.
 */
#include "link/ledger.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/cleanup.h"
#include "fs/guard.h"
#include "fs/iattr.h"
#include "link/moment.h"

#define ENTRIES 512 /* a thread has two at most, besides those of hot objects */
#define POOLS 64    /* file systems of one run; what is on further ones is not guarded */
#define POINT_MAX 4096

enum {
	FREE = 0,
	FILLING = -1
};

struct entry {
	_Atomic int state; /* FREE, FILLING, or an enum vu_ledger_kind */
	int fd;
	unsigned pool;
	uint64_t ino, size, mtime_ns;
	uint64_t max_xattr_bytes;
	struct vu_key key;
	struct vu_attr attr;
};

struct vu_ledger {
	pthread_mutex_t lock; /* the worker's threads', while points grow */
	_Atomic unsigned n_points;
	struct vu_frost frost;
	struct entry entries[ENTRIES];
	char points[POOLS][POINT_MAX];
};

struct vu_ledger *vu_ledger_new(void)
{
	struct vu_ledger *l =
		mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (l == MAP_FAILED)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->frost.wake = l->frost.record = -EBADF;
	return l;
}

struct vu_frost *vu_ledger_frost(struct vu_ledger *l)
{
	return l ? &l->frost : NULL;
}

struct vu_ledger *vu_ledger_free(struct vu_ledger *l)
{
	if (l)
		munmap(l, sizeof(*l));
	return NULL;
}

/* ---- the worker's side ---- */

static unsigned find_point(const struct vu_ledger *l, const char *point)
{
	unsigned i = 0, n = atomic_load(&l->n_points);

	while (i < n && strcmp(l->points[i], point))
		i++;
	return i;
}

/* The number of the pool; POOLS when there is no room. */
static unsigned pool_number(struct vu_ledger *l, const char *point)
{
	unsigned i = find_point(l, point);

	if (i < atomic_load(&l->n_points) || strlen(point) >= POINT_MAX)
		return i < atomic_load(&l->n_points) ? i : POOLS;
	pthread_mutex_lock(&l->lock);
	i = find_point(l, point);
	if (i < POOLS && i == atomic_load(&l->n_points)) {
		strcpy(l->points[i], point);
		atomic_store(&l->n_points, i + 1);
	}
	pthread_mutex_unlock(&l->lock);
	return i;
}

static unsigned take(struct vu_ledger *l)
{
	for (;;) {
		for (unsigned i = 0; i < ENTRIES; i++) {
			int is = FREE;

			if (!atomic_load_explicit(&l->entries[i].state, memory_order_relaxed) &&
			    atomic_compare_exchange_strong(&l->entries[i].state, &is, FILLING))
				return i;
		}
		/* others end within milliseconds */
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	}
}

unsigned vu_ledger_enter(struct vu_ledger *l, enum vu_ledger_kind kind, const struct vu_object *o,
			 size_t max_xattr_bytes)
{
	unsigned pool = l ? pool_number(l, vu_pool_mount_point(o->pool)) : POOLS;

	if (pool >= POOLS)
		return 0;
	unsigned i = take(l);
	struct entry *e = &l->entries[i];

	e->fd = o->fd;
	e->pool = pool;
	e->ino = o->ino;
	e->size = o->size;
	e->mtime_ns = o->mtime_ns;
	e->max_xattr_bytes = max_xattr_bytes;
	e->key = o->key;
	e->attr = o->attr;
	atomic_store(&e->state, (int)kind);
	return i + 1;
}

void vu_ledger_leave(struct vu_ledger *l, unsigned entry)
{
	if (l && entry)
		atomic_store(&l->entries[entry - 1].state, FREE);
}

/* ---- who closes ---- */

struct closing {
	struct vu_ledger *l;
	struct vu_pool *pools[POOLS]; /* owned; opened when needed */
	struct vu_ledger_closed *ret;
	bool damaged; /* told of the entry at hand */
};

static void on_event(void *arg, const struct vu_event *e)
{
	struct closing *c = arg;

	c->damaged = c->damaged || e->kind == VU_EVENT_DAMAGE;
}

static struct vu_pool *pool_of(struct closing *c, const struct entry *e)
{
	char *why = NULL;

	if (!c->pools[e->pool] &&
	    vu_pool_open_path(c->l->points[e->pool], VU_POOL_LOOK, &c->pools[e->pool], &why))
		c->pools[e->pool] = NULL;
	free(why);
	return c->pools[e->pool];
}

/* Has the pool a name of this inode, under its key? 1, 0 or errno. */
static int is_member(const struct vu_pool *pool, const struct entry *e)
{
	_cleanup_fd_ int fd = vu_pool_object_open(pool, &e->key);
	struct vu_stat st;

	if (fd < 0)
		return fd == -ENOENT || fd == -ESTALE ? 0 : fd;
	int r = vu_stat_fd(fd, &st);

	return r ? r : st.version.ino == e->ino;
}

static int end_moment(struct closing *c, const struct vu_pool *pool, const struct entry *e)
{
	struct vu_object o = {
		.pool = pool,
		.key = e->key,
		.fd = e->fd,
		.ino = e->ino,
		.size = e->size,
		.mtime_ns = e->mtime_ns,
		.attr = e->attr,
	};
	struct vu_sink sink = {.fn = on_event, .arg = c};
	struct vu_moment_env env;
	int r = is_member(pool, e);

	if (!r)
		vu_guard_release(e->fd);
	if (r <= 0)
		return r ? r : vu_iattr_set_immutable(e->fd, false);
	vu_moment_env_init(&env, &sink, e->max_xattr_bytes);
	pthread_mutex_init(&o.lock, NULL);
	pthread_mutex_lock(&o.lock);
	r = vu_moment_end(&env, &o, -EBADF);
	pthread_mutex_destroy(&o.lock);
	vu_moment_env_done(&env);
	c->ret->slips += env.stats.slips;
	c->ret->put_right += env.stats.put_right;
	return r;
}

static int undo_adopt(const struct vu_pool *pool, const struct entry *e)
{
	int member = is_member(pool, e), r = vu_iattr_set_immutable(e->fd, false);

	if (!r && member > 0)
		r = vu_pool_object_unlink(pool, &e->key);
	return member < 0 ? member : r;
}

static int close_entry(struct closing *c, const struct entry *e, int kind)
{
	const struct vu_pool *pool = pool_of(c, e);
	int r = -ENODEV;

	if (!pool)
		return r;
	switch (kind) {
	case VU_LEDGER_MOMENT:
		return end_moment(c, pool, e);
	case VU_LEDGER_ADOPT:
		return undo_adopt(pool, e);
	case VU_LEDGER_UNUSED:
		r = vu_pool_object_remove_claimed(pool, &e->key);
		return r == -ENOENT || r == -EBUSY ? 0 : r;
	}
	return 0;
}

bool vu_ledger_is_crowded(const struct vu_ledger *l)
{
	unsigned n = 0;

	for (unsigned i = 0; l && i < ENTRIES; i++)
		n += atomic_load_explicit(&l->entries[i].state, memory_order_relaxed) != FREE;
	return n >= ENTRIES / 2;
}

bool vu_ledger_is_open(const struct vu_ledger *l)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		if (atomic_load(&l->entries[i].state) > 0)
			return true;
	return false;
}

/* First of all the flags, without looking at what happened; whoever is frozen meets them. */
static void set_flags(struct closing *c)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		const struct entry *e = &c->l->entries[i];

		if (atomic_load(&e->state) != VU_LEDGER_MOMENT)
			continue;
		const struct vu_pool *pool = pool_of(c, e);

		if (pool && is_member(pool, e) > 0)
			(void)vu_guard_or_flag(e->fd);
	}
}

/*
 * Those who passed the permission check in a moment that ended just before: with the lease still held
 * they start anew. Whoever waits for a private file of a guest waits again, and is let in at the end.
 */
static void interrupt_all(pid_t worker)
{
	uint64_t until = vu_moment_now() + VU_COOL_DOWN_NS;

	do {
		vu_interrupt_waiters_of(worker);
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	} while (vu_moment_now() < until);
}

void vu_ledger_close(struct vu_ledger *l, pid_t worker, struct vu_ledger_closed *ret)
{
	struct closing c = {.l = l, .ret = ret};

	*ret = (struct vu_ledger_closed){0};
	set_flags(&c);
	ret->thawed = vu_frost_end(&l->frost);
	for (unsigned i = 0; i < ENTRIES; i++) {
		struct entry *e = &l->entries[i];
		int kind = atomic_load(&e->state);

		if (kind > 0) {
			c.damaged = false;
			ret->moments++;
			ret->failed += close_entry(&c, e, kind) || c.damaged;
		}
		atomic_store(&e->state, FREE);
	}
	interrupt_all(worker);
	for (unsigned i = 0; i < POOLS; i++)
		vu_pool_close(c.pools[i]);
}
