/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sabotage.h"
#include "fs/lease.h"
#include "link/freezer.h"
#include "link/interrupt.h"
#include "link/ledger.h"

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

#define SLACK_NS UINT64_C(3000000)
#define COOL_NS UINT64_C(1000000) /* between two looks at hot objects */
#define COOL_LATE_NS UINT64_C(5000000)
#define REST_NS UINT64_C(1000000000)
#define TOLD_BY (SIGRTMIN + 2) /* that a lease is being broken, or something came */

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
		if (vu_interrupt_waiters(vu_pool_super_dev(t->object->pool), t->ino, NULL) <= 0)
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
	int r = o->lost && !may ? -ESTALE : vu_moment_begin_inside(&t->run->moment, o);

	return r == -ESTALE && may ? vu_moment_begin_inside(&t->run->moment, o) : r;
}

/* inside: the caller is in the freezer. */
static void put_back(struct vu_reaper *r, struct vu_target *t, bool inside)
{
	struct vu_linkrun *run = t->run;
	struct vu_freezer *f = vu_moment_freezer(&run->moment);
	bool quiet = vu_lease_quiet(t->fd), entered = !inside && !vu_freezer_enter(f);
	int e = 0, b = begin_back(t);

	if (!b) {
		b = vu_target_back(t);
		/* its names are back: who waits for it goes on */
		if (!b && !quiet)
			vu_lease_drop(t->fd);
		e = vu_reaper_end_moment(r, t->object, is_twin(t) ? t->fd : -EBADF);
	}
	if (entered)
		vu_freezer_leave(f);
	if (b == -ESTALE) {
		run->unsettled = true; /* it waits in the stage for recovery */
	} else if (b || e) {
		run->unsettled = true;
		run->error = run->error ? run->error : e ? e : b;
	} else {
		atomic_fetch_sub(&t->slot->n_linked, 1);
	}
	add(&run->stats->put_back, 1);
	vu_target_skip(run, t->inode, quiet ? VU_SKIP_CHANGED : VU_SKIP_OPEN_FOR_WRITE, 0);
}

static void settle(struct vu_reaper *r, struct vu_target *t, bool inside)
{
	/* the only place where the content is left is never given up for a lost object */
	bool last = t->object->lost && !t->object->secured && vu_pool_slip_writes(t->object->pool);

	if (!last && is_superfluous(t))
		put_away(t);
	else
		put_back(r, t, inside);
	vu_target_free(t);
}

/* ---- the queue; the lock is held before and after ---- */

static struct vu_target *take_out(struct vu_reaper *r, struct vu_target **at)
{
	struct vu_target *t = *at;

	*at = t->next;
	if (!*at)
		r->tail = at;
	r->n_urgent -= t->urgent;
	return t;
}

static void settle_one(struct vu_reaper *r, struct vu_target *t, bool inside)
{
	unsigned n = t->n;

	pthread_mutex_unlock(&r->lock);
	settle(r, t, inside);
	pthread_mutex_lock(&r->lock);
	r->n_names -= n;
	pthread_cond_signal(&r->less);
}

static struct vu_target *next_urgent(struct vu_reaper *r)
{
	struct vu_target **at = &r->head;

	while (*at && !(*at)->urgent)
		at = &(*at)->next;
	return *at ? take_out(r, at) : NULL;
}

static bool must_cool(const struct vu_reaper *r)
{
	return r->n_hot && vu_moment_now() >= r->cool_ns + COOL_LATE_NS;
}

/* Nobody is made to wait for more than one time in the freezer. */
static void settle_urgent(struct vu_reaper *r)
{
	struct vu_freezer *f = vu_moment_freezer(&r->run->moment);
	struct vu_target *t;
	bool inside;

	pthread_mutex_unlock(&r->lock);
	inside = !vu_freezer_enter(f);
	pthread_mutex_lock(&r->lock);
	do {
		t = next_urgent(r);
		if (t)
			settle_one(r, t, inside);
	} while (t && vu_freezer_has_time(f) && !must_cool(r));
	pthread_mutex_unlock(&r->lock);
	if (inside)
		vu_freezer_leave(f);
	pthread_mutex_lock(&r->lock);
}

/*
 * One that is due. While its object is hot, it may be the only one that has the content. NULL, and when
 * it is worth while to look again: a little later than the first is due, for then some others are due as
 * well, and each is not slept for on its own.
 */
static struct vu_target *next_due(struct vu_reaper *r, uint64_t *ret_again)
{
	struct vu_target **at = &r->head;

	while (*at && vu_moment_is_hot((*at)->object))
		at = &(*at)->next;
	*ret_again = r->n_hot ? r->cool_ns : UINT64_MAX;
	if (!*at)
		return NULL;
	if ((*at)->due_ns <= vu_moment_now())
		return take_out(r, at);
	*ret_again = VU_MIN(*ret_again, (*at)->due_ns + SLACK_NS);
	return NULL;
}

/* ---- hot objects; the lock is held before and after ---- */

/* How long this thread could have run and did not get a processor (proc(5): schedstat). */
static void measure_wait(struct vu_reaper *r)
{
	_cleanup_fd_ int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	unsigned long long ran, waited;
	char text[96] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 ||
	    sscanf(text, "%llu %llu", &ran, &waited) != 2)
		return;
	if (r->waited_ns)
		r->late_ns = VU_MAX(r->late_ns / 2, waited - r->waited_ns);
	r->waited_ns = waited;
}

static void cool(struct vu_reaper *r)
{
	struct vu_object *v[VU_HOT_MAX], *cold[VU_HOT_MAX];
	unsigned n = r->n_hot, n_cold = 0, left = 0;

	for (unsigned i = 0; i < n; i++)
		v[i] = r->hot[i];
	pthread_mutex_unlock(&r->lock);
	measure_wait(r);
	vu_moment_cool(&r->run->moment, v, n, r->late_ns);
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < r->n_hot; i++) {
		if (vu_moment_is_hot(r->hot[i]))
			r->hot[left++] = r->hot[i];
		else
			cold[n_cold++] = r->hot[i];
	}
	r->n_hot = left;
	r->cool_ns = vu_moment_now() + COOL_NS;
	pthread_cond_signal(&r->less);
	if (!n_cold)
		return;
	pthread_mutex_unlock(&r->lock);
	while (n_cold-- > 0)
		vu_object_unref(&r->run->moment, cold[n_cold]);
	pthread_mutex_lock(&r->lock);
}

static void wake(struct vu_reaper *r)
{
	if (r->asleep)
		pthread_kill(r->thread, TOLD_BY);
	r->asleep = false;
}

static bool is_listed(const struct vu_reaper *r, const struct vu_object *o)
{
	for (unsigned i = 0; i < r->n_hot; i++)
		if (r->hot[i] == o)
			return true;
	return false;
}

/* May this object be hot? The worker and the thread, which ask, may each add one to the list. */
static bool has_room(struct vu_reaper *r, const struct vu_object *o)
{
	pthread_mutex_lock(&r->lock);
	bool room = r->threaded && (is_listed(r, o) || r->n_hot + 2 <= VU_HOT_MAX);

	pthread_mutex_unlock(&r->lock);
	return room &&
	       (vu_moment_is_hot(o) || !vu_ledger_is_crowded(vu_moment_ledger(&r->run->moment)));
}

static void take_over(struct vu_reaper *r, struct vu_object *o)
{
	if (!vu_moment_is_hot(o))
		return;
	pthread_mutex_lock(&r->lock);
	if (!is_listed(r, o))
		r->hot[r->n_hot++] = vu_object_ref(o);
	r->cool_ns = 0;
	wake(r);
	pthread_mutex_unlock(&r->lock);
}

int vu_reaper_end_moment(struct vu_reaper *r, struct vu_object *o, int twin)
{
	bool hot = has_room(r, o);
	int e = (hot ? vu_moment_end_hot : vu_moment_end)(&r->run->moment, o, twin);

	take_over(r, o);
	return e;
}

void vu_reaper_look(struct vu_reaper *r, struct vu_object *o)
{
	bool hot = has_room(r, o);

	(hot ? vu_moment_look_hot : vu_moment_look)(&r->run->moment, o);
	take_over(r, o);
}

/* ---- the thread ---- */

static void mark(struct vu_reaper *r, int fd)
{
	struct vu_target *t = r->head;

	while (t && (fd < 0 || t->fd != fd))
		t = t->next;
	/* the signal may be of another that had this number before */
	if (!t || t->urgent || vu_lease_quiet(t->fd))
		return;
	t->urgent = true;
	r->n_urgent++;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / UINT64_C(1000000000)),
		.tv_nsec = (long)(ns % UINT64_C(1000000000)),
	};
}

/* Waits so long at most for a signal. Returns whether there was one; whose lease it is about, or -EBADF. */
static bool hear(uint64_t ns, int *ret_fd)
{
	struct timespec t = timespec_of(ns);
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, TOLD_BY);
	int sig = sigtimedwait(&set, &info, &t);

	*ret_fd = sig > 0 && info.si_code != SI_TKILL ? info.si_fd : -EBADF;
	return sig > 0;
}

static void rest(struct vu_reaper *r, uint64_t until_ns)
{
	struct timespec until = timespec_of(until_ns);
	uint64_t now = vu_moment_now(), late;
	int fd = -EBADF;

	r->asleep = r->threaded;
	pthread_mutex_unlock(&r->lock);
	if (r->threaded)
		hear(until_ns > now ? VU_MIN(until_ns - now, REST_NS) : 0, &fd);
	else
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
			;
	now = vu_moment_now();
	late = now > until_ns ? now - until_ns : 0;
	/* half of it is forgotten each time */
	r->late_ns = VU_MAX(late, r->late_ns / 2);
	pthread_mutex_lock(&r->lock);
	r->asleep = false;
	mark(r, fd);
}

/* Does the one thing that is to be done first, or waits until there is something. */
static void step(struct vu_reaper *r)
{
	struct vu_target *t;
	uint64_t again;
	int fd;

	while (r->threaded && hear(0, &fd))
		mark(r, fd);
	if (r->n_hot && vu_moment_now() >= r->cool_ns) {
		cool(r);
	} else if (r->n_urgent) {
		settle_urgent(r);
	} else {
		t = next_due(r, &again);
		if (t)
			settle_one(r, t, false);
		else
			rest(r, again);
	}
}

static void *reaper_main(void *arg)
{
	struct vu_reaper *r = arg;

	pthread_mutex_lock(&r->lock);
	r->tid = gettid();
	pthread_cond_signal(&r->there);
	while (r->head || r->n_hot || !r->quit)
		step(r);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

void vu_reaper_start(struct vu_reaper *r, struct vu_linkrun *run, unsigned max)
{
	sigset_t all, old;

	*r = (struct vu_reaper){.run = run, .max = max};
	r->tail = &r->head;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->less, NULL);
	pthread_cond_init(&r->there, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r->threaded = true;
	pthread_mutex_lock(&r->lock);
	if (pthread_create(&r->thread, NULL, reaper_main, r))
		r->threaded = false;
	while (r->threaded && !r->tid)
		pthread_cond_wait(&r->there, &r->lock);
	pthread_mutex_unlock(&r->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void wait_for(struct vu_reaper *r, unsigned at_most)
{
	pthread_mutex_lock(&r->lock);
	while (r->n_names > at_most || (!at_most && r->n_hot)) {
		if (r->threaded)
			pthread_cond_wait(&r->less, &r->lock);
		else
			step(r);
	}
	pthread_mutex_unlock(&r->lock);
}

bool vu_reaper_room(struct vu_reaper *r, unsigned n, unsigned held)
{
	if (!held) {
		wait_for(r, r->max > n ? r->max - n : 0);
		return true;
	}
	pthread_mutex_lock(&r->lock);
	bool room = r->n_names + held + n <= r->max;

	pthread_mutex_unlock(&r->lock);
	return room;
}

void vu_reaper_push(struct vu_reaper *r, struct vu_target *t)
{
	t->next = NULL;
	t->due_ns = vu_moment_now() + VU_GRACE_NS;
	if (r->threaded)
		vu_lease_tell(t->fd, r->tid, TOLD_BY);
	pthread_mutex_lock(&r->lock);
	r->n_names += t->n;
	bool first = !r->head;

	*r->tail = t;
	r->tail = &t->next;
	/* whoever came before the thread is told */
	mark(r, t->fd);
	if (first || t->urgent)
		wake(r);
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
	wake(r);
	pthread_mutex_unlock(&r->lock);
	if (r->threaded)
		pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->there);
	pthread_cond_destroy(&r->less);
	pthread_mutex_destroy(&r->lock);
}
