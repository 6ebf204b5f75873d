/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a process waits for its mmap lock, and for a page that went away between two calls, which is then fetched
 * from whoever serves it: a FUSE server, a handler of userfaultfd(2). A hostile guest keeps such a read waiting for as
 * long as it likes, and some of these waits end for no signal. So a child takes the census, with threads; one that
 * makes no step is given up, another takes its place, and the child is left behind when it has said its sum.
 *
 * The child is a watched one (base/watched.h) that sees to it itself that it ends, as it knows which thread is stuck.
 *
 * What both know is in shared memory: the sum, then the counts and shares of the owners, then those of the programs.
 */
#include "mem/census.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/want.h"
#include "base/watched.h"
#include "mem/shared-swap.h"

#define POLL_MS 50

/* The result, on its way. */
struct shared {
	struct vu_tally_sum sum; /* without its arrays */
	_Atomic uint64_t processes;
	unsigned n_stuck;
	pid_t stuck;
	bool hidden; /* VU_CENSUS_HIDDEN */
};

static struct vu_census_counts *counts_of(struct shared *s)
{
	return (struct vu_census_counts *)(s + 1);
}

static struct vu_tally_share *owners_of(struct shared *s, size_t n_owners)
{
	return (struct vu_tally_share *)(counts_of(s) + n_owners);
}

static struct vu_tally_share *programs_of(struct shared *s, size_t n_owners)
{
	return owners_of(s, n_owners) + n_owners;
}

uint64_t vu_census_started(pid_t pid)
{
	char path[32], text[1024], *p;
	int field = 2;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = 0;
	/* its name stands in parentheses, and may have some itself */
	for (p = strrchr(text, ')'); p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

static void add_counts(struct vu_census_counts *to, const struct vu_census_counts *n)
{
	to->processes += n->processes;
	to->denied += n->denied;
	to->merged_maps += n->merged_maps;
	to->merged += n->merged;
	to->zero_maps += n->zero_maps;
	to->frames += n->frames;
	to->huge += n->huge;
	to->hugetlb += n->hugetlb;
	to->swapped += n->swapped;
	to->shared += n->shared;
	to->unnumbered += n->unnumbered;
	to->stayed += n->stayed;
	to->moved += n->moved;
	to->unread += n->unread;
}

struct taking {
	const struct vu_census_options *o;
	struct shared *shared;
};

/* ---- the child ---- */

struct child {
	const struct vu_census_options *o;
	struct shared *shared;
	struct vu_frame_set seen;
	struct vu_tally *tally;
	struct vu_shared_swap *swap;
	_Atomic size_t next; /* subject */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	int r; /* the first failure of a thread */
};

struct worker {
	struct child *c;
	_Atomic uint64_t beat;
	_Atomic size_t at;     /* subject */
	_Atomic bool given_up; /* another one has taken its place */
	bool ended;
	uint64_t last_beat; /* as the one that watches has seen it, */
	int64_t last_ms;    /* and when it changed */
};

static int look_at(struct worker *w, struct vu_census_reader *rd, size_t i)
{
	const struct vu_census_subject *s = &w->c->o->subject[i];
	struct vu_census_counts n = {0}, *to = counts_of(w->c->shared) + s->owner;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d", (int)s->pid);
	_cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	/* before it is known that the process is the one meant */
	_cleanup_fd_ int pidfd =
		w->c->o->swap_in ? (int)syscall(SYS_pidfd_open, s->pid, 0) : -EBADF;

	if (fd < 0 || vu_census_started(s->pid) != s->started)
		return 0;
	if (w->c->o->swap_in && pidfd < 0) {
		r = -errno;
		return r == -ESRCH ? 0 : r;
	}
	rd->pidfd = pidfd;
	r = vu_census_process(rd, fd, s->owner, s->program, &n);
	if (!r)
		r = vu_shared_swap_add(w->c->swap, s->owner, fd, &w->beat, &n.shared);
	if (r && !vu_is_want(r)) {
		n.denied++;
		r = 0;
	}
	pthread_mutex_lock(&w->c->lock);
	if (!atomic_load(&w->given_up))
		add_counts(to, &n);
	pthread_mutex_unlock(&w->c->lock);
	atomic_fetch_add(&w->c->shared->processes, 1);
	return r;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct child *c = w->c;
	struct vu_census_reader rd = {
		.seen = &c->seen,
		.tally = c->tally,
		.beat = &w->beat,
		.frames_only = c->o->frames_only,
		.swap = c->o->swap,
		.by_area = c->o->by_area,
		.pidfd = -EBADF,
	};
	int r = vu_census_reader_init(&rd);

	while (!r && !atomic_load(&w->given_up)) {
		size_t i = atomic_fetch_add(&c->next, 1);

		atomic_store(&w->at, i);
		if (i >= c->o->n)
			break;
		r = look_at(w, &rd, i);
	}
	vu_census_reader_done(&rd);
	pthread_mutex_lock(&c->lock);
	if (r && !c->r && !atomic_load(&w->given_up))
		c->r = r == VU_FRAMES_HIDDEN ? VU_CENSUS_HIDDEN : r;
	w->ended = true;
	pthread_cond_signal(&c->ended);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int start_worker(struct child *c, struct worker *w)
{
	pthread_t thread;

	*w = (struct worker){.c = c, .last_ms = vu_clock_ms()};
	int r = pthread_create(&thread, NULL, work, w);

	if (!r)
		pthread_detach(thread);
	return -r;
}

/* Has it made no step for too long? c->lock is held. */
static bool is_stuck(struct worker *w, int64_t now)
{
	uint64_t beat = atomic_load(&w->beat) + atomic_load(&w->at);

	if (beat != w->last_beat) {
		w->last_beat = beat;
		w->last_ms = now;
	}
	return now - w->last_ms > VU_CENSUS_STUCK_MS;
}

/* Another thread goes on in its place. */
static int give_up(struct child *c, struct worker *w, struct worker *next)
{
	struct shared *s = c->shared;
	size_t i = atomic_load(&w->at);

	atomic_store(&w->given_up, true);
	if (!s->n_stuck++ && i < c->o->n)
		s->stuck = c->o->subject[i].pid;
	return s->n_stuck > VU_CENSUS_STUCK_MAX ? -ETIMEDOUT : start_worker(c, next);
}

/* Until all are done that were not given up. c->lock is held. */
static int watch(struct child *c, struct worker *w, size_t n)
{
	int r = 0;
	bool busy = true;

	while (!r && busy) {
		struct timespec until;
		size_t have = n;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += POLL_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		busy = false;
		for (size_t i = 0; !r && i < have; i++) {
			if (w[i].ended || atomic_load(&w[i].given_up))
				continue;
			busy = true;
			if (is_stuck(&w[i], vu_clock_ms()))
				r = give_up(c, &w[i], &w[n++]);
		}
		if (!r && busy)
			pthread_cond_timedwait(&c->ended, &c->lock, &until);
	}
	return r ? r : c->r;
}

static int run_workers(struct child *c)
{
	unsigned jobs = VU_MAX(c->o->jobs, 1u);
	struct worker *w = calloc(jobs + VU_CENSUS_STUCK_MAX + 1, sizeof(*w));
	unsigned n = 0;
	int r = w ? 0 : -ENOMEM;

	pthread_mutex_lock(&c->lock);
	for (; !r && n < jobs; n++)
		r = start_worker(c, &w[n]);
	if (r == -EAGAIN && n > 1) { /* fewer have to do */
		n--;
		r = 0;
	}
	if (!r)
		r = watch(c, w, n);
	pthread_mutex_unlock(&c->lock);
	/* w stays: who was given up has it still */
	return r;
}

static void publish(const struct child *c, struct vu_tally_sum *sum)
{
	const struct vu_census_options *o = c->o;

	memcpy(owners_of(c->shared, o->n_owners), sum->owner, o->n_owners * sizeof(*sum->owner));
	memcpy(programs_of(c->shared, o->n_owners), sum->program,
	       o->n_programs * sizeof(*sum->program));
	c->shared->sum = *sum;
	c->shared->sum.owner = c->shared->sum.program = NULL;
}

static int take(struct child *c)
{
	const struct vu_census_options *o = c->o;
	struct vu_tally_sum sum;
	int r = vu_frame_set_init(&c->seen);

	if (!r)
		r = vu_shared_swap_new(&c->swap);
	if (!r)
		r = vu_tally_new(o->max_bytes, o->n_owners, o->n_programs, &c->tally);
	if (!r)
		r = run_workers(c);
	if (r)
		return r;
	vu_tally_end(c->tally, &o->rules, &sum);
	publish(c, &sum);
	return 0;
}

/* Gives nothing back: a thread that was given up may use it still. */
static int run_child(void *arg)
{
	const struct taking *t = arg;
	struct child *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->o = t->o;
	c->shared = t->shared;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->ended, NULL);
	int r = take(c);

	t->shared->hidden = r == VU_CENSUS_HIDDEN;
	return t->shared->hidden ? 0 : r;
}

/* ---- the parent ---- */

static void show(void *arg)
{
	const struct taking *t = arg;

	if (t->o->progress)
		atomic_store(&t->o->progress->files, atomic_load(&t->shared->processes));
}

static int copy_out(const struct vu_census_options *o, struct shared *s, struct vu_census *ret)
{
	struct vu_census c = {.sum = s->sum, .n_stuck = s->n_stuck, .stuck = s->stuck};

	c.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	c.owner = calloc(o->n_owners + 1, sizeof(*c.owner));
	c.sum.owner = calloc(o->n_owners + 1, sizeof(*c.sum.owner));
	c.sum.program = calloc(o->n_programs + 1, sizeof(*c.sum.program));
	if (!c.owner || !c.sum.owner || !c.sum.program) {
		vu_census_done(&c);
		return -ENOMEM;
	}
	memcpy(c.owner, counts_of(s), o->n_owners * sizeof(*c.owner));
	memcpy(c.sum.owner, owners_of(s, o->n_owners), o->n_owners * sizeof(*c.sum.owner));
	memcpy(c.sum.program, programs_of(s, o->n_owners), o->n_programs * sizeof(*c.sum.program));
	for (size_t i = 0; i < o->n_owners; i++)
		add_counts(&c.total, &c.owner[i]);
	*ret = c;
	return 0;
}

int vu_census_take(const struct vu_census_options *o, struct vu_census *ret)
{
	size_t bytes =
		sizeof(struct shared) +
		o->n_owners * (sizeof(struct vu_census_counts) + sizeof(struct vu_tally_share)) +
		o->n_programs * sizeof(struct vu_tally_share);
	struct shared *s = vu_watched_memory(bytes);
	int r;

	if (!s)
		return -ENOMEM;
	if (o->progress)
		vu_progress_begin(o->progress, VU_PHASE_READ, o->n, 0);
	struct taking t = {o, s};

	r = vu_watched_do(&(struct vu_watched){.fn = run_child, .arg = &t, .look = show});
	if (!r)
		r = s->hidden ? VU_CENSUS_HIDDEN : copy_out(o, s, ret);
	munmap(s, bytes);
	return r;
}

void vu_census_done(struct vu_census *c)
{
	vu_tally_sum_done(&c->sum);
	free(c->owner);
	*c = (struct vu_census){0};
}
