/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * To guard an object that has its flag, with its claim held:
 *
 *  1. Its mark is set. From now on an open for writing is refused behind i_writecount++ (programs.bpf.c).
 *  2. A read lease is taken: so nobody has it open for writing, or is on his way there with the mark unseen. Refused:
 *     the mark is dropped, and the object left as it is.
 *  3. The flag is taken off. Who had passed its check before met it; who comes later meets the mark.
 *  4. It is opened for writing, which must fail with EPERM: that is the proof, for each object, that the kernel and this
 *     process mean the same inode. Did it wait for the lease instead (O_NONBLOCK: EAGAIN) or succeed, then the flag
 *     is set again: with the lease held nobody has got in meanwhile.
 *  5. The lease is given back.
 *
 * The way back: the flag, then the mark. Killed anywhere: the flag, or the mark, or both are there. Marks are the
 * kernel's (fs/guard.h) and need no process.
 *
 * Power lost, or the machine started anew: marks are gone, and flags are not there. Then the objects are open to
 * everybody until recovery has compared them and set their flags (link/recover.c): before any guest is started.
 *
 * An inode that is no object any more, but a guest's own file, loses its mark from whoever made it so
 * (vu_guard_release). One that was removed has lost all names; its mark goes with the inode, by the kernel
 * (programs.bpf.c), or at the end, with the guard.
 */
#include "lsm/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/inomap.h"
#include "fs/guard.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/reopen.h"
#include "fs/stat.h"
#include "link/claim.h"
#include "link/pool-listing.h"
#include "lsm/held.h"

#define LISTING_NS                                                                                 \
	UINT64_C(60000000000) /* the pool is listed that often, whatever its directories say */
#define SLACK_NS UINT64_C(1000000000)
#define RELEASE_NS                                                                                 \
	UINT64_C(5000000000) /* a claim is waited for that long when the guard is to end */

/* An object that is guarded. */
struct kept {
	struct vu_key key;
	struct vu_guard_mark mark;
	bool seen; /* in the listing at hand */
};

struct vu_keep {
	const struct vu_pool *pool;
	int marks;
	struct vu_held *held; /* borrowed; or NULL */
	struct kept *v;	      /* owned */
	uint32_t n, cap;
	struct vu_guard_pool id;
	struct vu_inomap by_ino; /* index in v */
	bool full;		 /* no further marks in this sweep */
	uint64_t
		settled_ns; /* CLOCK_REALTIME: begin of the last listing after which nothing was to be done; 0 */
	struct vu_keep_stats stats; /* of it */
};

/*
 * Is what opens it for writing refused by the guard? The flag is off. Returns 1, 0 (it succeeded, or would have
 * waited for a lease), or a negative errno where it came to neither (-EMFILE).
 */
static int is_refused(int fd)
{
	int w = vu_reopen(fd, O_WRONLY | O_NONBLOCK);

	if (w >= 0)
		close(w);
	return w == -EPERM ? 1 : w >= 0 || w == -EAGAIN ? 0 : w;
}

static bool is_flagged(const struct vu_stat *st)
{
	return st->attributes & STATX_ATTR_IMMUTABLE;
}

static bool has_flag(int fd)
{
	struct vu_stat st;

	return !vu_stat_fd(fd, &st) && is_flagged(&st);
}

/* ---- the trial ---- */

static int try_marked(int fd)
{
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	if (is_refused(fd) != 1 || !fchmod(fd, st.mode & 07777) || errno != EPERM)
		return VU_KEEP_UNGUARDED;
	/* the way back has to be open to the keeper */
	r = vu_iattr_set_immutable(fd, true);
	return r ? r : vu_iattr_set_immutable(fd, false);
}

/* Whoever is let on to wait for a lease, and finds none, is to be refused behind that. Else nobody is let on. */
static void try_copies(struct vu_keep *k, int fd, const struct vu_guard_mark *mark)
{
	bool held = !vu_held_try_begin(k->held, mark);
	bool refused = held && is_refused(fd) == 1;

	vu_held_try_end(k->held, mark);
	if (!refused)
		k->held = NULL;
}

static int try_guard(struct vu_keep *k)
{
	_cleanup_fd_ int w =
		openat(vu_pool_stage_fd(k->pool), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	_cleanup_fd_ int fd = w < 0 ? -errno : vu_reopen(w, O_RDONLY);
	struct vu_guard_mark mark;

	if (fd < 0)
		return fd;
	close(w);
	w = -EBADF;
	int r = vu_guard_mark_of(fd, &mark);

	/* what refuses without a mark would prove nothing */
	if (!r)
		r = is_refused(fd);
	if (r == 1)
		return VU_KEEP_UNGUARDED;
	if (!r)
		r = vu_guard_add(k->marks, &mark, &k->id);
	if (r)
		return r;
	r = try_marked(fd);
	if (!r && k->held)
		try_copies(k, fd, &mark);
	(void)vu_guard_drop(k->marks, &mark);
	return r;
}

int vu_keep_new(const struct vu_pool *pool, int marks, struct vu_held *held, struct vu_keep **ret)
{
	struct vu_keep *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->pool = pool;
	k->marks = marks;
	k->held = held;
	int r = vu_guard_pool_of(vu_pool_fd(pool), &k->id);

	if (!r)
		r = try_guard(k);

	if (r)
		free(k);
	else
		*ret = k;
	return r;
}

struct vu_keep *vu_keep_free(struct vu_keep *k)
{
	if (!k)
		return NULL;
	vu_inomap_done(&k->by_ino);
	free(k->v);
	free(k);
	return NULL;
}

/* ---- one object ---- */

static int keep(struct vu_keep *k, const struct vu_key *key, const struct vu_guard_mark *mark)
{
	if (k->n == k->cap) {
		uint32_t cap = k->cap ? 2 * k->cap : 1024;
		struct kept *v = reallocarray(k->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		k->v = v;
		k->cap = cap;
	}
	k->v[k->n] = (struct kept){.key = *key, .mark = *mark, .seen = true};
	return vu_inomap_set(&k->by_ino, mark->ino, k->n++);
}

/* Steps 2 to 5. Returns 0, VU_LEASE_BUSY, or a negative errno (-EUCLEAN: not kept from being written to). */
static int lift(int fd)
{
	int r = vu_lease_take(fd), refused;

	if (r)
		return r;
	r = vu_iattr_set_immutable(fd, false);
	refused = r ? 1 : is_refused(fd);
	if (refused != 1) {
		r = vu_iattr_set_immutable(fd, true);
		r = r ? r : refused ? refused : -EUCLEAN;
	}
	vu_lease_drop(fd);
	return r;
}

static int guard_flagged(struct vu_keep *k, int fd, const struct vu_guard_mark *mark)
{
	int r = k->full ? -E2BIG : vu_guard_add(k->marks, mark, &k->id);

	if (r)
		return r;
	r = lift(fd);
	if (r && has_flag(fd))
		(void)vu_guard_drop(k->marks, mark);
	return r;
}

/* An object that nobody else works on. */
static int guard_claimed(struct vu_keep *k, const struct vu_key *key, int fd,
			 struct vu_keep_stats *ret)
{
	struct vu_guard_mark mark;
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (!r)
		r = vu_guard_mark_of(fd, &mark);
	if (r)
		return r;
	/* to be evicted: whoever has it open for writing is in already */
	if (vu_pool_object_slipped(k->pool, key))
		return VU_LEASE_BUSY;
	r = is_flagged(&st) ? guard_flagged(k, fd, &mark) : vu_guard_has(k->marks, &mark);
	if (r < 0 || (r && is_flagged(&st)))
		return r;
	if (!r && !is_flagged(&st)) {
		ret->bare++;
		return 0;
	}
	return keep(k, key, &mark);
}

/* Without its lease, who opens it for writing is refused: nothing is lost by that. */
static void hold(const struct vu_keep *k, const struct kept *kept, int fd,
		 struct vu_keep_stats *ret)
{
	if (k->held && vu_held_add(k->held, &kept->mark, fd))
		ret->unheld++;
}

static int guard_object(struct vu_keep *k, uint64_t ino, const struct vu_key *key,
			struct vu_keep_stats *ret)
{
	_cleanup_fd_ int fd = vu_pool_object_open(k->pool, key);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	int r = vu_claim(vu_pool_claims(k->pool), ino);

	if (r)
		return r;
	r = guard_claimed(k, key, fd, ret);
	vu_claim_release(vu_pool_claims(k->pool), ino);
	if (!r && k->n && k->v[k->n - 1].mark.ino == ino)
		hold(k, &k->v[k->n - 1], fd, ret);
	return r;
}

/* ---- all of them ---- */

static void count(struct vu_keep *k, struct vu_keep_stats *s, int r)
{
	if (r > 0) { /* claimed, or open for writing */
		s->flagged++;
	} else if (r == -E2BIG) {
		k->full = true;
		s->full++;
	} else if (r) {
		s->failed++;
		s->error = r;
	}
}

/* Returns 0 or VU_KEEP_UNGUARDED. */
static int look_at(struct vu_keep *k, uint64_t ino, const struct vu_key *key,
		   struct vu_keep_stats *ret)
{
	uint32_t i;

	if (vu_inomap_get(&k->by_ino, ino, &i) && !memcmp(&k->v[i].key, key, sizeof(*key))) {
		k->v[i].seen = true;
		return 0;
	}
	int r = guard_object(k, ino, key, ret);

	count(k, ret, r);
	return r == -EUCLEAN ? VU_KEEP_UNGUARDED : 0;
}

/* Names may come and go while a directory is read: what was not seen is looked for. */
static bool is_gone(const struct vu_keep *k, const struct kept *kept)
{
	_cleanup_fd_ int fd = vu_pool_object_open(k->pool, &kept->key);
	struct vu_stat st;

	return fd == -ENOENT ||
	       (fd >= 0 && !vu_stat_fd(fd, &st) && st.version.ino != kept->mark.ino);
}

/* What is no object any more. Its mark is somebody else's (see above). */
static int forget(struct vu_keep *k)
{
	uint32_t n = 0;
	int r = 0;

	for (uint32_t i = 0; i < k->n; i++) {
		if (!k->v[i].seen && is_gone(k, &k->v[i])) {
			if (k->held)
				vu_held_remove(k->held, k->v[i].mark.ino);
			continue;
		}
		k->v[n++] = k->v[i];
	}
	if (n == k->n)
		return 0;
	k->n = n;
	vu_inomap_done(&k->by_ino);
	for (uint32_t i = 0; !r && i < n; i++)
		r = vu_inomap_set(&k->by_ino, k->v[i].mark.ino, i);
	return r;
}

static int sweep(struct vu_keep *k, const struct vu_pool_listing *l, struct vu_keep_stats *ret)
{
	int r = 0;

	for (uint32_t i = 0; i < k->n; i++)
		k->v[i].seen = false;
	for (uint32_t i = 0; !r && i < l->by_ino.slots; i++) {
		const struct vu_inomap_slot *s = &l->by_ino.slot[i];

		if (s->ino)
			r = look_at(k, s->ino, &l->keys[s->value], ret);
	}
	return r ? r : forget(k);
}

/* When a name came into the pool, or went, last. UINT64_MAX where that cannot be seen. */
static uint64_t changed_ns(const struct vu_keep *k)
{
	_cleanup_fd_ int dir = vu_pool_part_open(k->pool, "objects", false);
	struct vu_stat st;
	uint64_t last;
	char shard[3];

	if (dir < 0 || vu_stat_fd(dir, &st))
		return UINT64_MAX;
	last = st.version.mtime_ns;
	for (unsigned i = 0; i < 256; i++) {
		snprintf(shard, sizeof(shard), "%02x", i);
		int r = vu_stat_at(dir, shard, &st);

		if (r && r != -ENOENT)
			return UINT64_MAX;
		last = r ? last : VU_MAX(last, st.version.mtime_ns);
	}
	return last;
}

/* Nothing was left to do, and nothing has come since. Times of directories may be some milliseconds old. */
static bool is_idle(const struct vu_keep *k, uint64_t now)
{
	uint64_t changed = changed_ns(k);

	return k->settled_ns && now >= k->settled_ns && now < k->settled_ns + LISTING_NS &&
	       changed != UINT64_MAX && changed + SLACK_NS < k->settled_ns;
}

int vu_keep_sweep(struct vu_keep *k, struct vu_keep_stats *ret)
{
	struct vu_pool_listing l = {0};
	uint64_t now = vu_clock_real_ns();

	if (is_idle(k, now)) {
		*ret = k->stats;
		return 0;
	}
	k->settled_ns = 0;
	*ret = (struct vu_keep_stats){0};
	k->full = false;
	int r = vu_pool_listing_read(&l, k->pool);

	if (!r)
		r = sweep(k, &l, ret);
	vu_pool_listing_done(&l);
	ret->guarded = k->n;
	k->stats = *ret;
	if (!r && !ret->flagged && !ret->failed)
		k->settled_ns = now;
	return r;
}

bool vu_keep_makes_copies(const struct vu_keep *k)
{
	return k->held;
}

/* ---- the way back ---- */

void vu_keep_let_go(struct vu_keep *k)
{
	k->held = NULL;
}

static int release_claimed(struct vu_keep *k, int fd)
{
	struct vu_guard_mark mark;
	int r = vu_guard_mark_of(fd, &mark), has = r ? r : vu_guard_has(k->marks, &mark);

	if (has <= 0) /* its flag is not this guard's business */
		return has;
	r = vu_iattr_set_immutable(fd, true);
	return r ? r : vu_guard_drop(k->marks, &mark);
}

static int release_object(struct vu_keep *k, uint64_t ino, const struct vu_key *key)
{
	_cleanup_fd_ int fd = vu_pool_object_open(k->pool, key);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	int r = vu_claim_wait(vu_pool_claims(k->pool), ino, RELEASE_NS);

	if (r)
		return r;
	r = release_claimed(k, fd);
	vu_claim_release(vu_pool_claims(k->pool), ino);
	return r;
}

int vu_keep_release(struct vu_keep *k, struct vu_keep_stats *ret)
{
	struct vu_pool_listing l = {0};
	int r = vu_pool_listing_read(&l, k->pool);

	*ret = (struct vu_keep_stats){0};
	for (uint32_t i = 0; !r && i < l.by_ino.slots; i++) {
		const struct vu_inomap_slot *s = &l.by_ino.slot[i];

		if (s->ino)
			count(k, ret, release_object(k, s->ino, &l.keys[s->value]));
	}
	vu_pool_listing_done(&l);
	if (r)
		return r;
	ret->guarded = ret->flagged + ret->failed;
	if (ret->guarded)
		return VU_KEEP_LEFT;
	/* all that is left has no name in the pool: no object, and perhaps open somewhere still */
	return vu_guard_forget(k->marks, &k->id);
}
