/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An inode that is not in the listing is no object if its ctime is older than the listing: to become one
 * it got a name and a flag, which changed its ctime, and nobody can set that. A guest can make its own files
 * look young; so there is a new listing only for those that have a flag, or are claimed, and at most once in
 * RELIST_NS, which is waited for. Where there is a guard (fs/guard.h), an object has no flag: then for all.
 */
#include "link/pool-index.h"

#include <errno.h>
#include <linux/stat.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "fs/guard.h"
#include "link/pool-listing.h"

#define RELIST_NS UINT64_C(50000000)
/* Before Linux 6.13 the ctime stands still for up to 10 ms; and the clock may have been set back a little. */
#define CLOCK_SLACK_NS UINT64_C(1000000000)

struct vu_pool_index {
	const struct vu_pool *pool;
	pthread_rwlock_t lock;
	struct vu_pool_listing listing;
	uint64_t
		since_ns; /* CLOCK_REALTIME: a ctime before that is in the listing, or no object's */
	uint64_t listed_ns; /* CLOCK_MONOTONIC */
	_Atomic bool stale;
	bool guarded; /* there is a guard: objects may be without a flag */
};

/* With the lock for writing. Where it fails, the listing before stays, and is tried anew. */
static int list(struct vu_pool_index *x)
{
	uint64_t now = vu_clock_real_ns();
	struct vu_pool_listing l = {0};

	x->stale = false;
	int r = vu_pool_listing_read(&l, x->pool);

	x->listed_ns = (uint64_t)vu_clock_ns();
	if (r) {
		vu_pool_listing_done(&l);
		x->stale = true;
		return r;
	}
	vu_pool_listing_done(&x->listing);
	x->listing = l;
	x->since_ns = now - CLOCK_SLACK_NS;
	x->guarded = vu_guard_is_there();
	return 0;
}

int vu_pool_index_new(const struct vu_pool *pool, struct vu_pool_index **ret)
{
	struct vu_pool_index *x = calloc(1, sizeof(*x));

	if (!x)
		return -ENOMEM;
	x->pool = pool;
	pthread_rwlock_init(&x->lock, NULL);
	int r = list(x);

	if (r)
		vu_pool_index_free(x);
	else
		*ret = x;
	return r;
}

struct vu_pool_index *vu_pool_index_free(struct vu_pool_index *x)
{
	if (!x)
		return NULL;
	pthread_rwlock_destroy(&x->lock);
	vu_pool_listing_done(&x->listing);
	free(x);
	return NULL;
}

/* With the lock. */
static int look_up(const struct vu_pool_index *x, uint64_t ino, struct vu_key *ret)
{
	const struct vu_key *key = vu_pool_listing_find(&x->listing, ino);

	if (key)
		*ret = *key;
	return key != NULL;
}

/* With the lock. May it have become an object behind the listing? */
static bool may_be_new(const struct vu_pool_index *x, const struct vu_stat *st)
{
	if (!x->stale && st->version.ctime_ns < x->since_ns)
		return false;
	return st->attributes & STATX_ATTR_IMMUTABLE || x->guarded ||
	       vu_claim_is_taken(vu_pool_claims(x->pool), st->version.ino);
}

static void nap_until(uint64_t ns)
{
	uint64_t now = (uint64_t)vu_clock_ns();

	if (now < ns)
		nanosleep(&(struct timespec){.tv_nsec = (long)(ns - now)}, NULL);
}

int vu_pool_index_find(struct vu_pool_index *x, const struct vu_stat *st, struct vu_key *ret)
{
	if (!S_ISREG(st->mode) || st->n_links < 2 || st->version.dev != vu_pool_dev(x->pool))
		return 0;
	pthread_rwlock_rdlock(&x->lock);
	int r = look_up(x, st->version.ino, ret);
	bool again = !r && may_be_new(x, st);
	uint64_t listed = x->listed_ns;

	pthread_rwlock_unlock(&x->lock);
	if (!again)
		return r;
	nap_until(listed + RELIST_NS);
	pthread_rwlock_wrlock(&x->lock);
	r = look_up(x, st->version.ino, ret);
	/* unless another thread has just done it */
	if (!r && x->listed_ns == listed)
		r = list(x);
	if (!r)
		r = look_up(x, st->version.ino, ret);
	pthread_rwlock_unlock(&x->lock);
	return r;
}

void vu_pool_index_stale(struct vu_pool_index *x)
{
	x->stale = true;
}
