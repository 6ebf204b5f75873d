/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One thread at a time waits for notifications: with two the kernel wakes them by turns, which costs each call 3
 * microseconds more than the 5 that it costs to ask anybody (Linux 6.18). It keeps the turn as long as there is
 * nothing to do but to look, and lets another have it while it makes a copy, or may have to wait for somebody.
 */
#include "cow/supervisor.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/cleanup.h"
#include "cow/call.h"
#include "cow/notify.h"
#include "cow/serve.h"

#define WAKE_BY SIGUSR2 /* ends the wait for a notification */

/* One that answers. */
struct thread {
	struct vu_supervisor *s;
	pthread_t id;
	_Atomic bool ended;
};

struct vu_supervisor {
	const struct vu_supervisor_env *env;
	struct vu_call_numbers *numbers;  /* owned */
	struct thread *threads;		  /* owned */
	unsigned n;			  /* that were started */
	struct vu_supervisor_stats stats; /* advanced atomically */
	_Atomic bool quit;
	pthread_mutex_t turn; /* whose it is to receive */
	/* the first one starts, or does not, before the next is made */
	pthread_mutex_t lock;
	pthread_cond_t started;
	bool has_started;
	int error;
};

static void tell_started(struct vu_supervisor *s, int r)
{
	pthread_mutex_lock(&s->lock);
	s->has_started = true;
	s->error = r;
	pthread_cond_signal(&s->started);
	pthread_mutex_unlock(&s->lock);
}

/* With the turn, which is given up while one is answered that takes long. */
static int serve_one(struct vu_supervisor *s, struct vu_server *server,
		     const struct seccomp_notif *req)
{
	if (vu_server_glance(server, req))
		return 0;
	pthread_mutex_unlock(&s->turn);
	int r = vu_server_answer(server);

	pthread_mutex_lock(&s->turn);
	return r;
}

static int serve_all(struct vu_supervisor *s, struct vu_notify *notify, struct vu_server *server)
{
	const struct seccomp_notif *req = vu_notify_left(notify);
	int r = 0;

	/* without the turn: who has it may wait for the next call for ever */
	if (req && !vu_server_glance(server, req))
		r = vu_server_answer(server);
	pthread_mutex_lock(&s->turn);
	while (!r && !s->quit) {
		r = vu_notify_receive(notify, &req);
		if (!r)
			r = serve_one(s, server, req);
		else if (r == -EINTR || r == -ENOENT)
			r = 0;
	}
	pthread_mutex_unlock(&s->turn);
	return r;
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;
	struct vu_supervisor *s = t->s;
	struct vu_notify *notify = NULL;
	struct vu_server *server = NULL;
	size_t i = (size_t)(t - s->threads);
	int r = vu_notify_new(s->env->listener, s->env->slots ? &s->env->slots[i] : NULL, &notify);

	if (!r)
		r = vu_server_new(s->env, s->numbers, notify, &s->stats, &server);
	tell_started(s, r);
	if (!r)
		serve_all(s, notify, server);
	vu_server_free(server);
	vu_notify_free(notify);
	t->ended = true;
	return NULL;
}

static void on_wake(int signal)
{
	(void)signal;
}

static int start_thread(struct vu_supervisor *s, struct thread *t)
{
	sigset_t most, old;

	t->s = s;
	s->has_started = false;
	/* signals are for the coordinating thread */
	sigfillset(&most);
	sigdelset(&most, WAKE_BY);
	pthread_sigmask(SIG_SETMASK, &most, &old);
	int r = -pthread_create(&t->id, NULL, thread_main, t);

	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return r;
	s->n++;
	pthread_mutex_lock(&s->lock);
	while (!s->has_started)
		pthread_cond_wait(&s->started, &s->lock);
	pthread_mutex_unlock(&s->lock);
	return s->error;
}

int vu_supervisor_new(const struct vu_supervisor_env *env, struct vu_supervisor **ret)
{
	struct vu_supervisor *s = calloc(1, sizeof(*s));
	unsigned threads = VU_MAX(env->threads, 1U);
	struct sigaction wake = {.sa_handler = on_wake};
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->env = env;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->turn, NULL);
	pthread_cond_init(&s->started, NULL);
	s->numbers = vu_call_numbers_new();
	s->threads = calloc(threads, sizeof(*s->threads));
	if (!s->numbers || !s->threads)
		r = -ENOMEM;
	/* without SA_RESTART, so that it ends the ioctl */
	sigaction(WAKE_BY, &wake, NULL);
	vu_notify_sync_wake_up(env->listener);
	for (unsigned i = 0; !r && i < threads; i++)
		r = start_thread(s, &s->threads[i]);
	if (r)
		vu_supervisor_free(s);
	else
		*ret = s;
	return r;
}

/* Any of them may have the turn, and be about to wait: until all have seen it. */
static bool wake_all(struct vu_supervisor *s)
{
	bool more = false;

	for (unsigned i = 0; i < s->n; i++) {
		if (s->threads[i].ended)
			continue;
		pthread_kill(s->threads[i].id, WAKE_BY);
		more = true;
	}
	return more;
}

static void end_threads(struct vu_supervisor *s)
{
	s->quit = true;
	while (wake_all(s))
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	for (unsigned i = 0; i < s->n; i++)
		pthread_join(s->threads[i].id, NULL);
}

struct vu_supervisor *vu_supervisor_free(struct vu_supervisor *s)
{
	if (!s)
		return NULL;
	if (s->threads)
		end_threads(s);
	free(s->threads);
	vu_call_numbers_free(s->numbers);
	pthread_cond_destroy(&s->started);
	pthread_mutex_destroy(&s->turn);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

void vu_supervisor_stats(const struct vu_supervisor *s, struct vu_supervisor_stats *ret)
{
	ret->notified = __atomic_load_n(&s->stats.notified, __ATOMIC_RELAXED);
	ret->broken = __atomic_load_n(&s->stats.broken, __ATOMIC_RELAXED);
	ret->refused = __atomic_load_n(&s->stats.refused, __ATOMIC_RELAXED);
}
