/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch of the breaker:
 *
 *  1. For each item: the object opened and leased. If this guest is the last that has it, no copy is
 *     needed. Else a copy in the stage, c-*: content, owner, mode, xattrs, flags, times; and one more
 *     name of the copy for each further name in the guest.
 *  2. One journal line for each name, with the copy's inode; one syncfs(2): copies and journal are on
 *     disk before the first guest's name points at one of them.
 *  3. For each item a moment: each name exchanged with a name of the copy. What comes out must be the
 *     object; then that name of it is removed. Else the guest has just put something there: it is
 *     exchanged back. The last guest: the pool's name removed, and the flag stays off.
 *     If somebody slips in, the names change places again, and the object is for the caller to evict.
 *  4. Objects that only the pool has are removed; the journal is emptied.
 *
 * A name that was exchanged stays so, whatever becomes of the others: the guest can write to it from
 * that instant on. Names that fail were replaced by the guest, and are private already.
 *
 * Killed: before 3 copies without or with a journal line, whose inode is nowhere else: removed. In 3:
 * temporary names of the object: removed. An object without a flag: compared with its key, and given
 * back or flagged (recover.c). Nothing is ever freed but names of objects and unused copies.
 */
#include "link/breaker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/inomap.h"
#include "base/stop.h"
#include "link/break-item.h"

#define BATCH 512 /* items; fewer where descriptors are scarce: one is open for each */
#define LOOK_NS UINT64_C(50000000)

/* ---- what is needed ---- */

/* Names of each object that items before this one take away. */
struct ahead {
	struct vu_inomap *by_fs; /* owned */
	size_t n;
};

static int ahead_init(struct ahead *a, size_t n_pools)
{
	a->n = n_pools;
	a->by_fs = calloc(n_pools + 1, sizeof(*a->by_fs));
	return a->by_fs ? 0 : -ENOMEM;
}

static void ahead_done(struct ahead *a)
{
	for (size_t i = 0; a->by_fs && i < a->n; i++)
		vu_inomap_done(&a->by_fs[i]);
	free(a->by_fs);
	a->by_fs = NULL;
}

/* Will this item be the last, once those before it are done? */
static int ahead_add(struct ahead *a, const struct vu_break_item *it, uint32_t n_links,
		     bool *ret_last)
{
	uint32_t before = 0;

	vu_inomap_get(&a->by_fs[it->fs], it->ino, &before);
	*ret_last = n_links == before + it->n_paths + 1;
	return vu_inomap_set(&a->by_fs[it->fs], it->ino, before + it->n_paths);
}

static int need_of(const struct vu_breaker_env *env, const struct vu_break_item *it,
		   struct ahead *a, uint64_t *need)
{
	_cleanup_fd_ int fd = vu_pool_object_open(env->pools[it->fs], &it->key);
	struct vu_stat st;
	bool last;

	if (fd < 0)
		return fd == -ENOENT || fd == -ESTALE ? 0 : fd;
	int r = vu_stat_fd(fd, &st);

	if (!r)
		r = ahead_add(a, it, st.n_links, &last);
	if (!r && !last)
		need[it->fs] += st.blocks * 512 + 4096;
	return r;
}

static int check_fs(const struct vu_breaker_env *env, size_t fs, uint64_t need,
		    struct vu_breaker_stats *ret)
{
	struct statvfs v;

	if (!need)
		return 0;
	if (fstatvfs(vu_pool_fd(env->pools[fs]), &v))
		return -errno;
	ret->needed_bytes = need;
	ret->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	if (need <= ret->free_bytes)
		return 0;
	ret->stopped_fs = (uint32_t)fs + 1;
	return VU_BREAK_NO_SPACE;
}

int vu_breaker_check(const struct vu_breaker_env *env, const struct vu_break_item *items, size_t n,
		     struct vu_breaker_stats *ret)
{
	_cleanup_free_ uint64_t *need = calloc(env->n_pools + 1, sizeof(*need));
	struct ahead a = {0};
	int r = need ? ahead_init(&a, env->n_pools) : -ENOMEM;

	ret->needed_bytes = ret->free_bytes = 0;
	for (size_t i = 0; !r && i < n; i++)
		r = need_of(env, &items[i], &a, need);
	for (size_t fs = 0; !r && fs < env->n_pools; fs++)
		r = check_fs(env, fs, need[fs], ret);
	ahead_done(&a);
	return r;
}

/* ---- batches ---- */

static int prepare(struct vu_breaking *b, struct vu_breaking_item *w, size_t i,
		   struct vu_break_item *it, struct ahead *a)
{
	bool last = false;
	int r = vu_breaking_open(b, &w[i], it, w, i);

	if (!r)
		r = ahead_add(a, it, w[i].n_links, &last);
	if (!r && !last)
		r = vu_breaking_copy(b, &w[i]);
	return r;
}

/* Whoever is on his way since a moment ended does not wait for long. */
static void look_at_objects(struct vu_breaking *b, struct vu_breaking_item *w, size_t n,
			    uint64_t *looked_ns)
{
	uint64_t now = vu_moment_now();

	if (now < *looked_ns + LOOK_NS)
		return;
	for (size_t i = 0; i < n; i++)
		if (w[i].object && !w[i].it->done)
			vu_moment_look(&b->moment, w[i].object);
	*looked_ns = vu_moment_now();
}

static int run_batch(struct vu_breaking *b, struct vu_break_item *items, size_t n)
{
	struct vu_breaking_item *w = calloc(n, sizeof(*w));
	struct ahead a = {0};
	size_t opened = 0;
	uint64_t looked_ns = 0;
	int r = w ? ahead_init(&a, b->env->n_pools) : -ENOMEM;

	for (; !r && opened < n && !vu_stop_requested(); opened++) {
		r = prepare(b, w, opened, &items[opened], &a);
		if (r)
			b->stats->stopped_at = &items[opened];
	}
	if (!r)
		r = vu_breaking_sync(b);
	for (size_t i = 0; !r && i < opened && !vu_stop_requested(); i++) {
		look_at_objects(b, w, opened, &looked_ns);
		r = vu_breaking_move(b, &w[i]);
		if (r)
			b->stats->stopped_at = &items[i];
	}
	/* all moves first: closing an object waits for the end of its cool-down */
	for (size_t i = 0; i < opened; i++) {
		int e = vu_breaking_close(b, &w[i]);

		r = r ? r : e;
	}
	int e = vu_breaking_settled(b);

	ahead_done(&a);
	free(w);
	return r ? r : e;
}

static size_t batch_max(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return BATCH / 4;
	return l.rlim_cur / 2 < BATCH ? VU_MAX((size_t)l.rlim_cur / 4, 4) : BATCH;
}

/* Items of one file system that stand together, at most max. */
static size_t batch_size(const struct vu_break_item *items, size_t n, size_t max)
{
	size_t k = 1;

	while (k < n && k < max && items[k].fs == items[0].fs)
		k++;
	return k;
}

int vu_breaker_run(const struct vu_breaker_env *env, struct vu_break_item *items, size_t n,
		   struct vu_breaker_stats *ret)
{
	struct vu_breaking b = {.env = env, .stats = ret, .stage = -EBADF};
	size_t max = batch_max();
	int r;

	*ret = (struct vu_breaker_stats){0};
	r = vu_breaker_check(env, items, n, ret);
	if (r)
		return r;
	if (getrandom(&b.prefix, sizeof(b.prefix), 0) != sizeof(b.prefix))
		return -EIO;
	vu_moment_env_init(&b.moment, env->sink, env->max_xattr_bytes);
	b.moment.watch = env->watch;
	for (size_t i = 0, k; !r && i < n; i += k) {
		k = batch_size(items + i, n - i, max);
		if (vu_stop_requested())
			r = -ECANCELED;
		if (!r)
			r = vu_breaking_enter(&b, items[i].fs);
		if (!r)
			r = run_batch(&b, items + i, k);
		if (r)
			ret->stopped_fs = items[i].fs + 1;
	}
	vu_breaking_leave(&b);
	if (!r && vu_stop_requested())
		r = -ECANCELED;
	ret->interrupted = b.moment.stats.interrupted;
	ret->slips = b.moment.stats.slips;
	ret->put_right = b.moment.stats.put_right;
	vu_moment_env_done(&b.moment);
	return r;
}
