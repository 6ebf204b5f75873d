/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lease belongs to the open file description (fcntl(2); Linux 6.18: it goes when the last descriptor
 * is closed), so a duplicate of the object's descriptor keeps it.
 */
#include "link/parking.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/lease.h"
#include "link/interrupt.h"
#include "link/moment.h"

#define ROOM 64 /* descriptors; further objects do without */
#define FRESH_NS UINT64_C(15000000000)

struct place {
	uint64_t dev, super_dev, ino;
	uint64_t since_ns;
	int fd; /* owned */
};

struct vu_parking {
	pthread_mutex_t lock;
	struct place v[ROOM];
	size_t n;
};

int vu_parking_new(struct vu_parking **ret)
{
	struct vu_parking *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->lock, NULL);
	*ret = p;
	return 0;
}

struct vu_parking *vu_parking_free(struct vu_parking *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->n; i++)
		close(p->v[i].fd);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

bool vu_parking_put(struct vu_parking *p, const struct vu_object *o)
{
	bool done = false;

	if (!p)
		return false;
	pthread_mutex_lock(&p->lock);
	int fd = p->n < ROOM ? fcntl(o->fd, F_DUPFD_CLOEXEC, 3) : -EMFILE;

	if (fd >= 0) {
		p->v[p->n++] = (struct place){
			.dev = vu_pool_dev(o->pool),
			.super_dev = vu_pool_super_dev(o->pool),
			.ino = o->ino,
			.since_ns = vu_moment_now(),
			.fd = fd,
		};
		done = true;
	}
	pthread_mutex_unlock(&p->lock);
	return done;
}

int vu_parking_take(struct vu_parking *p, const struct vu_pool *pool, uint64_t ino)
{
	uint64_t dev = vu_pool_dev(pool);
	int fd = -ENOENT;

	if (!p)
		return fd;
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i].dev == dev && p->v[i].ino == ino) {
			fd = p->v[i].fd;
			p->v[i] = p->v[--p->n];
			break;
		}
	pthread_mutex_unlock(&p->lock);
	return fd;
}

void vu_parking_refresh(struct vu_parking *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	uint64_t now = vu_moment_now();

	for (size_t i = 0; i < p->n; i++) {
		struct place *at = &p->v[i];

		if (now < at->since_ns + VU_MIN(FRESH_NS, vu_lease_break_ns() / 3))
			continue;
		(void)vu_interrupt_waiters(at->super_dev, at->ino, NULL);
		vu_lease_drop(at->fd);
		/* refused: he has it open by now, and eviction will see to that */
		(void)vu_lease_take(at->fd);
		at->since_ns = now;
	}
	pthread_mutex_unlock(&p->lock);
}
