/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/shared-swap.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mem/maps.h"

#define SLOTS ((size_t)2 * VU_SHARED_SWAP_MAX)

struct range {
	uint64_t dev, ino, offset, bytes;
	size_t owner;
	uint64_t pages; /* swapped out, as seen last; 0: an empty slot */
};

struct vu_shared_swap {
	pthread_mutex_t lock;
	size_t n;
	uint64_t page;	    /* bytes */
	struct range *slot; /* owned; open addressing; NULL until something is met */
};

int vu_shared_swap_new(struct vu_shared_swap **ret)
{
	struct vu_shared_swap *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->page = (uint64_t)sysconf(_SC_PAGESIZE);
	*ret = s;
	return 0;
}

struct vu_shared_swap *vu_shared_swap_free(struct vu_shared_swap *s)
{
	if (!s)
		return NULL;
	pthread_mutex_destroy(&s->lock);
	free(s->slot);
	free(s);
	return NULL;
}

/* Whatever is of no disk has such a number: shared memory, but other file systems, too. */
static bool may_be_shared_memory(const struct vu_map *m)
{
	return m->perms[3] == 's' && m->ino && !major((dev_t)m->dev);
}

static int look_for_one(void *arg, const struct vu_map *m)
{
	atomic_fetch_add_explicit((_Atomic uint64_t *)arg, 1, memory_order_relaxed);
	return may_be_shared_memory(m);
}

struct adding {
	struct vu_shared_swap *s;
	size_t owner;
	_Atomic uint64_t *beat;
	uint64_t *pages;
};

static bool is_range(const struct range *a, const struct range *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->offset == b->offset &&
	       a->bytes == b->bytes && a->owner == b->owner;
}

/* The slot of it, or the empty one where it belongs. */
static struct range *find(const struct vu_shared_swap *s, const struct range *r)
{
	uint64_t h = ((r->ino * 31 + r->dev) * 31 + (r->offset ^ r->bytes)) * 31 + r->owner;
	size_t at = (size_t)(h * UINT64_C(0x9e3779b97f4a7c15) >> 32) % SLOTS;

	while (s->slot[at].pages && !is_range(&s->slot[at], r))
		at = at + 1 < SLOTS ? at + 1 : 0;
	return &s->slot[at];
}

/* What another process of the owner has of it counts already. lock is held. */
static int count(struct adding *a, const struct range *r)
{
	struct vu_shared_swap *s = a->s;

	if (!s->slot)
		s->slot = calloc(SLOTS, sizeof(*s->slot));
	if (!s->slot)
		return -ENOMEM;
	struct range *is = find(s, r);

	if (!is->pages && s->n == VU_SHARED_SWAP_MAX)
		return 0;
	s->n += !is->pages;
	if (r->pages > is->pages)
		*a->pages += r->pages - is->pages;
	else
		return 0;
	*is = *r;
	return 0;
}

static int add_range(void *arg, const struct vu_map *m, uint64_t swapped)
{
	struct adding *a = arg;
	struct range r = {
		.dev = m->dev,
		.ino = m->ino,
		.offset = m->offset,
		.bytes = m->end - m->start,
		.owner = a->owner,
		.pages = swapped / a->s->page,
	};

	atomic_fetch_add_explicit(a->beat, 1, memory_order_relaxed);
	if (!may_be_shared_memory(m) || !r.pages)
		return 0;
	pthread_mutex_lock(&a->s->lock);
	int e = count(a, &r);

	pthread_mutex_unlock(&a->s->lock);
	return e;
}

int vu_shared_swap_add(struct vu_shared_swap *s, size_t owner, int task_fd, _Atomic uint64_t *beat,
		       uint64_t *pages)
{
	struct adding a = {s, owner, beat, pages};
	struct sysinfo now;

	if (sysinfo(&now) || now.totalswap == now.freeswap)
		return 0;
	/* smaps costs a walk of all page tables */
	if (vu_maps_each(task_fd, 0, look_for_one, beat) <= 0)
		return 0;
	int r = vu_maps_each_swapped(task_fd, add_range, &a);

	return r == -ENOMEM ? r : 0;
}
