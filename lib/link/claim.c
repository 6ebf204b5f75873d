/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks of the open file description (fcntl(2), F_OFD_SETLK) on ranges of an empty file. They belong to
 * all processes that share the descriptor, so to a worker and its guardian, and end with the last of
 * them: what a killed worker had claimed stays claimed until it has been closed up.
 *
 *   byte INODE           the object with this inode
 *   byte SLOTS + N       slot N
 *   byte SHARERS         held shared by whoever breaks links beside a linker
 *   byte UNCLAIMED       held shared by a linker during a batch in which it claims nothing
 *
 * The kernel keeps the locks of a file in a list: with 2,000 held a claim costs 25 microseconds, with 100
 * one. So a linker claims nothing while nobody shares the pool, which is nearly always. It takes UNCLAIMED and
 * then looks for SHARERS; who shares takes SHARERS and then waits until nobody has UNCLAIMED: one
 * of the two sees the other.
 */
#include "link/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Inode numbers of ext4, XFS and btrfs are far below (2^56 at most in practice). */
#define SLOTS (INT64_C(1) << 61)
#define SHARERS (SLOTS + VU_SLOT_MAX)
#define UNCLAIMED (SHARERS + 1)

struct vu_claims {
	int fd; /* owned; -EBADF: nothing is claimed by anybody */
	pthread_mutex_t lock;
	unsigned n_unclaimed; /* batches at work that claim nothing */
};

static struct flock range(short type, int64_t at)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
}

static int lock(const struct vu_claims *c, short type, int64_t at, bool wait)
{
	struct flock l = range(type, at);
	int r;

	if (c->fd < 0)
		return 0;
	do
		r = fcntl(c->fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l);
	while (r && errno == EINTR);
	if (!r)
		return 0;
	return errno == EAGAIN || errno == EACCES ? VU_CLAIMED : -errno;
}

static void unlock(const struct vu_claims *c, int64_t at)
{
	(void)lock(c, F_UNLCK, at, false);
}

/* Does another have a lock there that keeps one of this type out? When it cannot be told: yes. */
static bool is_locked(const struct vu_claims *c, short type, int64_t at)
{
	struct flock l = range(type, at);

	return c->fd >= 0 && (fcntl(c->fd, F_OFD_GETLK, &l) || l.l_type != F_UNLCK);
}

static int new_consume(int fd, struct vu_claims **ret)
{
	struct vu_claims *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fd = fd;
	pthread_mutex_init(&c->lock, NULL);
	*ret = c;
	return 0;
}

int vu_claims_open_look(int pool_fd, struct vu_claims **ret)
{
	int fd = openat(pool_fd, "claims", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int r = new_consume(fd < 0 ? -EBADF : fd, ret);

	if (r && fd >= 0)
		close(fd);
	return r;
}

/* Takes its place among those who share; and who makes no claims is waited for. */
static int join(const struct vu_claims *c)
{
	struct stat st;
	int r = lock(c, F_RDLCK, SHARERS, true);

	if (!r)
		r = lock(c, F_WRLCK, UNCLAIMED, true);
	if (r)
		return r;
	unlock(c, UNCLAIMED);
	if (fstat(c->fd, &st))
		return -errno;
	return st.st_nlink ? 0 : VU_CLAIMS_GONE;
}

int vu_claims_open(int pool_fd, bool share, struct vu_claims **ret)
{
	_cleanup_fd_ int fd =
		openat(pool_fd, "claims", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct vu_claims *c = NULL;

	if (fd < 0)
		return -errno;
	int r = new_consume(fd, &c);

	if (r)
		return r;
	fd = -EBADF;
	if (share)
		r = join(c);
	if (r)
		c = vu_claims_close(c);
	else
		*ret = c;
	return r;
}

struct vu_claims *vu_claims_close(struct vu_claims *c)
{
	if (!c)
		return NULL;
	vu_close_p(&c->fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

int vu_claim(const struct vu_claims *c, uint64_t ino)
{
	return lock(c, F_WRLCK, (int64_t)ino, false);
}

int vu_claim_wait(const struct vu_claims *c, uint64_t ino, uint64_t limit_ns)
{
	uint64_t nap = 100000, slept = 0;
	int r;

	/* F_OFD_SETLKW has no time limit */
	while ((r = vu_claim(c, ino)) == VU_CLAIMED && slept < limit_ns) {
		nanosleep(&(struct timespec){.tv_nsec = (long)nap}, NULL);
		slept += nap;
		nap = VU_MIN(2 * nap, UINT64_C(5000000));
	}
	return r;
}

void vu_claim_release(const struct vu_claims *c, uint64_t ino)
{
	unlock(c, (int64_t)ino);
}

bool vu_claim_is_taken(const struct vu_claims *c, uint64_t ino)
{
	return is_locked(c, F_WRLCK, (int64_t)ino);
}

int vu_claims_begin(struct vu_claims *c)
{
	pthread_mutex_lock(&c->lock);
	int r = c->n_unclaimed ? 0 : lock(c, F_RDLCK, UNCLAIMED, false);

	/* somebody shares it, or is about to */
	if (!r && vu_claims_are_shared(c)) {
		r = VU_CLAIMED;
		if (!c->n_unclaimed)
			unlock(c, UNCLAIMED);
	}
	c->n_unclaimed += !r;
	pthread_mutex_unlock(&c->lock);
	return r;
}

void vu_claims_end(struct vu_claims *c)
{
	pthread_mutex_lock(&c->lock);
	if (!--c->n_unclaimed)
		unlock(c, UNCLAIMED);
	pthread_mutex_unlock(&c->lock);
}

bool vu_claims_are_shared(const struct vu_claims *c)
{
	return is_locked(c, F_WRLCK, SHARERS);
}

int vu_claims_keep_out(const struct vu_claims *c)
{
	return lock(c, F_WRLCK, SHARERS, false);
}

int vu_claim_slot(const struct vu_claims *c, unsigned slot)
{
	return lock(c, F_WRLCK, SLOTS + slot, false);
}

void vu_claim_slot_release(const struct vu_claims *c, unsigned slot)
{
	unlock(c, SLOTS + slot);
}

bool vu_claim_slot_is_taken(const struct vu_claims *c, unsigned slot)
{
	return slot >= VU_SLOT_SHARED && is_locked(c, F_WRLCK, SLOTS + slot);
}

void vu_slots_add(struct vu_slots *slots, unsigned slot)
{
	unsigned i = slot - VU_SLOT_SHARED;

	if (slot >= VU_SLOT_SHARED && slot < VU_SLOT_MAX)
		slots->shared[i / 64] |= UINT64_C(1) << i % 64;
}

void vu_slots_claim(const struct vu_claims *c, const struct vu_slots *among, struct vu_slots *ret)
{
	*ret = (struct vu_slots){0};
	for (unsigned slot = VU_SLOT_SHARED; slot < VU_SLOT_MAX; slot++) {
		if (!vu_slots_have(among, slot))
			continue;
		int r = vu_claim_slot(c, slot);

		/* who only looks cannot claim */
		if (!r || (r < 0 && !vu_claim_slot_is_taken(c, slot)))
			vu_slots_add(ret, slot);
	}
}

void vu_slots_release(const struct vu_claims *c, const struct vu_slots *slots)
{
	for (unsigned i = VU_SLOT_SHARED; i < VU_SLOT_MAX; i++)
		if (vu_slots_have(slots, i))
			vu_claim_slot_release(c, i);
}

bool vu_slots_have(const struct vu_slots *slots, unsigned slot)
{
	unsigned i = slot - VU_SLOT_SHARED;

	/* what is no slot at all was left by nobody at work */
	return slot < VU_SLOT_SHARED || slot >= VU_SLOT_MAX ||
	       slots->shared[i / 64] & UINT64_C(1) << i % 64;
}
