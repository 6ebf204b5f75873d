/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/reaper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sabotage.h"
#include "fs/lease.h"
#include "link/interrupt.h"

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

#define SLACK_NS UINT64_C(3000000)

static void wait_until(uint64_t due_ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(due_ns / UINT64_C(1000000000)),
		.tv_nsec = (long)(due_ns % UINT64_C(1000000000)),
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* Has it all that the object has too? */
static bool is_twin(const struct vu_target *t)
{
	return vu_target_attr_holds(t->run, t->fd, vu_tree_inode(t->run->env->tree, t->inode)) > 0;
}

/* Nobody writes to it, nobody changed it, nobody gave it another name. */
static bool is_superfluous(const struct vu_target *t)
{
	struct vu_stat st;

	/* not only the ctime: before Linux 6.13 it stands still for some milliseconds */
	if (vu_sabotaged(NO_RECHECK))
		return true;
	return !vu_stat_fd(t->fd, &st) && st.version.ctime_ns == t->ctime_ns &&
	       st.n_links == t->n && is_twin(t) && vu_lease_quiet(t->fd);
}

static void record(struct vu_target *t)
{
	struct vu_linkrun *run = t->run;
	struct vu_tree *tree = run->env->tree;
	struct vu_inode *n = vu_tree_inode(tree, t->inode);
	char object[VU_KEY_NAME_MAX];

	vu_key_name(&t->object->key, object);
	n->flags |= VU_INODE_UNIFIED;
	n->key = t->slot->inode;
	for (uint32_t k = 0; k < t->n; k++) {
		_cleanup_free_ char *path = NULL;

		vu_tree_name(tree, t->names[k].name)->unified = 1;
		if (run->env->sink && run->env->sink->fn)
			path = vu_tree_name_path(tree, t->names[k].name);
		vu_moment_emit(&run->moment, &(struct vu_event){
						     .kind = VU_EVENT_UNIFY,
						     .guest = run->env->guests->v[n->guest].name,
						     .path = path,
						     .object = object,
						     .size = n->size,
					     });
	}
	if (run->env->progress)
		vu_progress_add(run->env->progress, t->n, 0);
	add(&run->stats->names, t->n);
	add(&run->stats->inodes, 1);
	add(&run->stats->bytes, t->blocks * 512);
}

static void put_away(struct vu_target *t)
{
	char tmp[VU_TMP_MAX];

	for (uint32_t k = 0; k < t->n; k++) {
		vu_tmp_name(t->run->prefix, t->tmp + k, tmp);
		if (unlinkat(t->stage, tmp, 0))
			t->run->unsettled = true;
	}
	/* who came at this very instant starts anew, and finds the object at the path */
	for (int i = 0; i < 10 && !vu_lease_quiet(t->fd); i++) {
		if (vu_interrupt_waiters(t->ino, NULL) <= 0)
			break;
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	}
	record(t);
}

/*
 * -ESTALE: a writer has the object open, whom only the flag holds off (where the flag does that): it
 * may not be taken off.
 */
static int begin_back(struct vu_target *t)
{
	struct vu_object *o = t->object;
	bool may = vu_pool_slip_writes(o->pool);
	int r = o->lost && !may ? -ESTALE : vu_moment_begin(&t->run->moment, o);

	return r == -ESTALE && may ? vu_moment_begin(&t->run->moment, o) : r;
}

static void put_back(struct vu_target *t)
{
	struct vu_linkrun *run = t->run;
	bool quiet = vu_lease_quiet(t->fd);
	int e = 0, r = begin_back(t);

	if (!r) {
		r = vu_target_back(t);
		/* its names are back: who waits for it goes on, before the moment has cooled down */
		if (!r && !quiet)
			vu_lease_drop(t->fd);
		e = vu_moment_end(&run->moment, t->object, is_twin(t) ? t->fd : -EBADF);
	}
	if (r == -ESTALE) {
		run->unsettled = true; /* it waits in the stage for recovery */
	} else if (r || e) {
		run->unsettled = true;
		run->error = run->error ? run->error : e ? e : r;
	} else {
		atomic_fetch_sub(&t->slot->n_linked, 1);
	}
	add(&run->stats->put_back, 1);
	vu_target_skip(run, t->inode, quiet ? VU_SKIP_CHANGED : VU_SKIP_OPEN_FOR_WRITE, 0);
}

static void settle(struct vu_target *t)
{
	/* a little longer: then some others are due as well, and each is not slept for on its own */
	if (vu_lease_quiet(t->fd) && vu_moment_now() < t->due_ns)
		wait_until(t->due_ns + SLACK_NS);
	/* the only place where the content is left is never given up for a lost object */
	bool last = t->object->lost && !t->object->secured && vu_pool_slip_writes(t->object->pool);

	if (!last && is_superfluous(t))
		put_away(t);
	else
		put_back(t);
	vu_target_free(t);
}

/* Settles the first of the queue. The lock is held before and after. */
static void settle_first(struct vu_reaper *r)
{
	struct vu_target *t = r->head;
	unsigned n = t->n;

	r->head = t->next;
	if (!r->head)
		r->tail = &r->head;
	pthread_mutex_unlock(&r->lock);
	settle(t);
	pthread_mutex_lock(&r->lock);
	r->n_names -= n;
	pthread_cond_signal(&r->less);
}

static void *reaper_main(void *arg)
{
	struct vu_reaper *r = arg;

	pthread_mutex_lock(&r->lock);
	while (r->head || !r->quit) {
		if (r->head)
			settle_first(r);
		else
			pthread_cond_wait(&r->more, &r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

void vu_reaper_start(struct vu_reaper *r, struct vu_linkrun *run, unsigned max)
{
	sigset_t all, old;

	*r = (struct vu_reaper){.run = run, .max = max};
	r->tail = &r->head;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->more, NULL);
	pthread_cond_init(&r->less, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r->threaded = !pthread_create(&r->thread, NULL, reaper_main, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void wait_for(struct vu_reaper *r, unsigned at_most)
{
	pthread_mutex_lock(&r->lock);
	while (r->n_names > at_most) {
		if (r->threaded)
			pthread_cond_wait(&r->less, &r->lock);
		else
			settle_first(r);
	}
	pthread_mutex_unlock(&r->lock);
}

void vu_reaper_room(struct vu_reaper *r, unsigned n, unsigned held)
{
	wait_for(r, r->max > n + held ? r->max - n - held : 0);
}

void vu_reaper_push(struct vu_reaper *r, struct vu_target *t)
{
	t->next = NULL;
	t->due_ns = vu_moment_now() + VU_GRACE_NS;
	pthread_mutex_lock(&r->lock);
	r->n_names += t->n;
	*r->tail = t;
	r->tail = &t->next;
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->lock);
}

void vu_reaper_drain(struct vu_reaper *r)
{
	wait_for(r, 0);
}

void vu_reaper_stop(struct vu_reaper *r)
{
	vu_reaper_drain(r);
	pthread_mutex_lock(&r->lock);
	r->quit = true;
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->lock);
	if (r->threaded)
		pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->less);
	pthread_cond_destroy(&r->more);
	pthread_mutex_destroy(&r->lock);
}
