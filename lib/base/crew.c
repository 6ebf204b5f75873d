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

int vu_crew_run(unsigned n, int (*fn)(void *arg, unsigned i), void *arg)
{
	_cleanup_free_ struct member *crew = NULL;
	pthread_attr_t attr;
	sigset_t all, old;

	if (n <= 1)
		return fn(arg, 0);
	crew = calloc(n, sizeof(*crew));
	if (!crew)
		return -ENOMEM;
	int r = attr_small(&attr);

	if (r)
		return r;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < n; i++) {
		crew[i] = (struct member){.fn = fn, .arg = arg, .i = i};
		crew[i].started =
			pthread_create(&crew[i].thread, &attr, member_main, &crew[i]) == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	for (unsigned i = 0; i < n; i++)
		if (crew[i].started)
			pthread_join(crew[i].thread, NULL);
		else
			crew[i].result = fn(arg, i);
	for (unsigned i = 0; i < n; i++)
		if (crew[i].result)
			return crew[i].result;
	return 0;
}
