/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/crew.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"

struct member {
	pthread_t thread;
	int (*fn)(void *arg, unsigned i);
	void *arg;
	unsigned i;
	int result;
	bool started;
};

struct vu_crew {
	unsigned n;
	struct member member[];
};

static void *member_main(void *p)
{
	struct member *m = p;

	m->result = m->fn(m->arg, m->i);
	return NULL;
}

/* Threads of a scan need little stack: the buffers they use are on the heap. */
static int attr_small(pthread_attr_t *ret_attr)
{
	int r = pthread_attr_init(ret_attr);

	if (r)
		return -r;
	return -pthread_attr_setstacksize(ret_attr, (size_t)256 << 10);
}

struct vu_crew *vu_crew_start(unsigned n, int (*fn)(void *arg, unsigned i), void *arg)
{
	_cleanup_free_ struct vu_crew *c = calloc(1, sizeof(*c) + n * sizeof(c->member[0]));
	pthread_attr_t attr;
	sigset_t all, old;

	if (!c || attr_small(&attr))
		return NULL;
	c->n = n;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < n; i++) {
		struct member *m = &c->member[i];

		*m = (struct member){.fn = fn, .arg = arg, .i = i};
		m->started = pthread_create(&m->thread, &attr, member_main, m) == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return vu_take_ptr(c);
}

int vu_crew_wait(struct vu_crew *crew_consume)
{
	_cleanup_free_ struct vu_crew *c = crew_consume;

	for (unsigned i = 0; c && i < c->n; i++) {
		struct member *m = &c->member[i];

		if (m->started)
			pthread_join(m->thread, NULL);
		else
			m->result = m->fn(m->arg, m->i);
	}
	for (unsigned i = 0; c && i < c->n; i++)
		if (c->member[i].result)
			return c->member[i].result;
	return 0;
}

int vu_crew_run(unsigned n, int (*fn)(void *arg, unsigned i), void *arg)
{
	if (n <= 1)
		return fn(arg, 0);
	struct vu_crew *c = vu_crew_start(n, fn, arg);

	return c ? vu_crew_wait(c) : -ENOMEM;
}
