/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lsm/held.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/inomap.h"
#include "fs/lease.h"
#include "fs/reopen.h"

#define SPARE                                                                                      \
	64 /* descriptors that are left for all else: without them no object can be opened to be guarded */
#define QUIET_MS 30 /* since somebody was seen to, before a lease is renewed */

struct lease {
	struct vu_guard_mark mark;
	int fd;		  /* owned; -EBADF: the slot is free */
	unsigned waiting; /* who are seen to */
	bool broken;	  /* it is to be renewed */
	int64_t since_ms; /* the last that was heard of it */
};

struct vu_held {
	struct vu_asks *asks; /* borrowed */
	int marks;	      /* borrowed */
	struct lease *v;      /* owned */
	uint32_t n, cap;
	uint32_t *broken; /* owned, as large as v: indices of those that are to be renewed */
	uint32_t n_broken;
	struct vu_inomap by_ino, by_fd; /* index in v; of fd: plus one */
};

struct vu_held *vu_held_new(struct vu_asks *asks, int marks)
{
	struct vu_held *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->asks = asks;
	h->marks = marks;
	return h;
}

struct vu_held *vu_held_free(struct vu_held *h)
{
	if (!h)
		return NULL;
	for (uint32_t i = 0; i < h->n; i++) {
		(void)vu_asks_let_go(h->asks, &h->v[i].mark);
		vu_close_p(&h->v[i].fd);
	}
	vu_inomap_done(&h->by_ino);
	vu_inomap_done(&h->by_fd);
	free(h->broken);
	free(h->v);
	free(h);
	return NULL;
}

static struct lease *find(const struct vu_held *h, uint64_t ino)
{
	uint32_t i;

	return vu_inomap_get(&h->by_ino, ino, &i) && h->v[i].fd >= 0 ? &h->v[i] : NULL;
}

static struct lease *find_fd(const struct vu_held *h, int fd)
{
	uint32_t i;

	return fd >= 0 && vu_inomap_get(&h->by_fd, (uint64_t)fd + 1, &i) && h->v[i].fd == fd
		       ? &h->v[i]
		       : NULL;
}

/* A slot for it: its own of before, or a new one. */
static int reserve(struct vu_held *h, uint64_t ino, uint32_t *ret)
{
	if (vu_inomap_get(&h->by_ino, ino, ret))
		return 0;
	if (h->n == h->cap) {
		uint32_t cap = h->cap ? 2 * h->cap : 256;
		struct lease *v = reallocarray(h->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		h->v = v;
		uint32_t *broken = reallocarray(h->broken, cap, sizeof(*broken));

		if (!broken)
			return -ENOMEM;
		h->broken = broken;
		h->cap = cap;
	}
	h->v[h->n] = (struct lease){.fd = -EBADF};
	int r = vu_inomap_set(&h->by_ino, ino, h->n);

	if (!r)
		*ret = h->n++;
	return r;
}

static int take(struct vu_held *h, struct lease *l, uint32_t at, const struct vu_guard_mark *mark,
		int fd)
{
	vu_lease_tell(fd, (pid_t)syscall(SYS_gettid), VU_HELD_SIGNAL);
	/* who is just being refused counts as a writer: it is not looked at again for a while */
	int r = vu_guard_lease(fd);

	if (!r)
		r = vu_inomap_set(&h->by_fd, (uint64_t)fd + 1, at);
	if (!r)
		r = vu_asks_hold(h->asks, mark);
	if (r)
		return r > 0 ? -EAGAIN : r;
	*l = (struct lease){.mark = *mark, .fd = fd};
	return 0;
}

/* Is this one of the last descriptors? The kernel gives the lowest number that is free. */
static bool is_spare(int fd)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return true;
	return (rlim_t)fd >= (l.rlim_cur > (rlim_t)2 * SPARE ? l.rlim_cur - SPARE : l.rlim_cur / 2);
}

int vu_held_add(struct vu_held *h, const struct vu_guard_mark *mark, int fd)
{
	uint32_t at;

	if (vu_held_has(h, mark))
		return 0;
	vu_held_remove(h, mark->ino);
	int r = reserve(h, mark->ino, &at);

	if (r)
		return r;
	_cleanup_fd_ int own = vu_reopen(fd, O_RDONLY | O_NONBLOCK);

	if (own < 0)
		return own;
	if (is_spare(own))
		return -EMFILE;
	r = take(h, &h->v[at], at, mark, own);
	if (!r)
		own = -EBADF;
	return r;
}

static void mend(struct vu_held *h, struct lease *l)
{
	uint32_t i = 0;

	if (!l->broken)
		return;
	l->broken = false;
	while (&h->v[h->broken[i]] != l)
		i++;
	h->broken[i] = h->broken[--h->n_broken];
}

void vu_held_remove(struct vu_held *h, uint64_t ino)
{
	struct lease *l = find(h, ino);

	if (!l)
		return;
	(void)vu_asks_let_go(h->asks, &l->mark);
	mend(h, l);
	vu_close_p(&l->fd);
	*l = (struct lease){.fd = -EBADF};
}

int vu_held_try_begin(struct vu_held *h, const struct vu_guard_mark *mark)
{
	return vu_asks_hold(h->asks, mark);
}

void vu_held_try_end(struct vu_held *h, const struct vu_guard_mark *mark)
{
	(void)vu_asks_let_go(h->asks, mark);
}

bool vu_held_has(const struct vu_held *h, const struct vu_guard_mark *mark)
{
	const struct lease *l = find(h, mark->ino);

	return l && !memcmp(&l->mark, mark, sizeof(*mark));
}

static void stir(struct vu_held *h, struct lease *l)
{
	if (!l->broken)
		h->broken[h->n_broken++] = (uint32_t)(l - h->v);
	l->broken = true;
	l->since_ms = vu_clock_ms();
}

void vu_held_begin(struct vu_held *h, uint64_t ino)
{
	struct lease *l = find(h, ino);

	if (!l)
		return;
	l->waiting++;
	stir(h, l);
}

void vu_held_end(struct vu_held *h, uint64_t ino)
{
	struct lease *l = find(h, ino);

	if (!l)
		return;
	l->waiting -= l->waiting > 0;
	stir(h, l);
}

void vu_held_broken(struct vu_held *h, int fd)
{
	struct lease *l = find_fd(h, fd);

	if (!l)
		return;
	/* a guest's own file by now (fs/guard.h): who waits goes on */
	if (vu_guard_has(h->marks, &l->mark) == 0)
		vu_held_remove(h, l->mark.ino);
	else
		stir(h, l);
}

static void renew(struct vu_held *h, struct lease *l, int64_t now)
{
	if (l->waiting || now < l->since_ms + QUIET_MS)
		return;
	vu_lease_drop(l->fd);
	/* refused: somebody is on his way through, and will be gone in an instant */
	if (vu_lease_take(l->fd))
		return;
	mend(h, l);
}

bool vu_held_renew(struct vu_held *h)
{
	int64_t now = h->n_broken ? vu_clock_ms() : 0;

	/* from behind: one that is renewed has the last one put in its place */
	for (uint32_t i = h->n_broken; i-- > 0;)
		renew(h, &h->v[h->broken[i]], now);
	return h->n_broken;
}

void vu_held_look(struct vu_held *h)
{
	for (uint32_t i = 0; i < h->n; i++)
		if (h->v[i].fd >= 0 && !h->v[i].broken && !vu_lease_quiet(h->v[i].fd))
			vu_held_broken(h, h->v[i].fd);
}
