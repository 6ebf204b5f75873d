/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cgroup v2, cgroup.freeze and cgroup.events (Linux 5.2 and later; measured on 6.18): a task is frozen
 * when it returns to user space, so "frozen 1" says that no task of the subtree is inside a system call.
 * What sleeps in one interruptibly (open() waiting for a lease) is taken out of it, and starts anew
 * after the thaw. A task in uninterruptible sleep keeps "frozen 1" away: then all are thawed, and this
 * moment has to do with the lease.
 *
 *   thawed --enter--> frozen (by the first that enters; others join in for JOIN_NS)
 *   frozen --leave--> thawed (by the last), and so for as long as it was frozen
 *   frozen --LIMIT_NS--> lifting --> lifted, by the guardian. Who is in it goes on without: what happened
 *           meanwhile is found by comparing, as without a freezer
 *   lifted --leave--> thawed
 *
 * state is no more "thawed" before the first cgroup is frozen, and is so again after the last was thawed
 * by who froze: whoever is left after a kill thaws too much rather than too little. For the case that nobody
 * is left there is the record: a file with the paths of the cgroups, whose first byte is 1 while they
 * are frozen. Somebody else's freeze is not lifted: a cgroup in which cgroup.freeze is 1 before is left
 * alone. (Who freezes one within the milliseconds that it is frozen here is thawed with it: the kernel
 * keeps one bit.)
 */
#include "link/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define MS UINT64_C(1000000)
#define SETTLE_NS (10 * MS)   /* "frozen 1" has to come within that */
#define JOIN_NS (12 * MS)     /* others may come in for that long */
#define USE_NS (20 * MS)      /* no moment begins later */
#define LIMIT_NS (35 * MS)    /* the guardian thaws, */
#define AGAIN_NS (10 * MS)    /* and again: the worker may have been about to freeze */
#define REFUSED_NS (100 * MS) /* so long nobody is frozen again, after it did not work */
#define LOOK_NS (5 * MS)      /* new processes are looked for so often, */
#define LOOK_SHARE 50	      /* but so that it takes a 50th of the time at most */
#define LOOK_ALL_NS (1000 * MS)
#define TRIES 50 /* of who must */

struct group {
	int dir, freeze, events; /* owned */
};

struct vu_freezer {
	const struct vu_freezer_watch *watch;
	struct vu_frost *frost;
	struct vu_frost own; /* where there is no guardian */
	char *record;	     /* owned; or NULL */
	pthread_mutex_t lock;
	pthread_cond_t thawed;
	unsigned inside;
	bool holds; /* who is inside has everybody frozen */
	struct group *groups;
	size_t n;
	_Atomic bool used;    /* somebody was found whom one can freeze */
	bool cannot;	      /* somebody runs who cannot be frozen */
	uint64_t next_ns;     /* when it is time to look again, in whatever way */
	uint64_t all_ns;      /* when all processes were looked at last */
	unsigned long newest; /* process number, by then */
	int loadavg;	      /* owned */
	uint64_t rest_ns;     /* nobody is frozen before */
	uint64_t since_ns;
	struct vu_freezer_stats stats;
};

static uint64_t now_ns(void)
{
	return (uint64_t)vu_clock_ns();
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / UINT64_C(1000000000)),
			     (long)(ns % UINT64_C(1000000000))};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* ---- what others may do too ---- */

uint64_t vu_frost_left_ns(const struct vu_frost *f)
{
	int state = atomic_load(&f->state);
	uint64_t now, end;

	if (state == VU_LIFTED)
		return AGAIN_NS;
	if (state != VU_FROZEN)
		return UINT64_MAX;
	end = atomic_load(&f->since_ns) + atomic_load(&f->limit_ns);
	now = now_ns();
	return now < end ? end - now : 0;
}

static void write_all(const struct vu_frost *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		while (write(f->fds[i], "0", 1) < 0 && errno == EINTR)
			;
	if (f->record >= 0)
		(void)!pwrite(f->record, "0", 1, 0);
}

/* The right to write to all of fds. */
static bool claim(struct vu_frost *f)
{
	int frozen = VU_FROZEN, lifted = VU_LIFTED;

	return atomic_compare_exchange_strong(&f->state, &frozen, VU_LIFTING) ||
	       atomic_compare_exchange_strong(&f->state, &lifted, VU_LIFTING);
}

void vu_frost_lift(struct vu_frost *f)
{
	int is = VU_LIFTING;

	if (!claim(f))
		return;
	write_all(f, atomic_load(&f->n));
	atomic_store(&f->lifted_ns, now_ns());
	atomic_compare_exchange_strong(&f->state, &is, VU_LIFTED);
}

bool vu_frost_end(struct vu_frost *f)
{
	if (atomic_load(&f->state) == VU_THAWED)
		return false;
	write_all(f, atomic_load(&f->n));
	atomic_store(&f->state, VU_THAWED);
	return true;
}

/* ---- the record ---- */

static char *path_of(int dir)
{
	char link[64], path[4096];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	ssize_t n = readlink(link, path, sizeof(path) - 1);

	if (n <= 0)
		return NULL;
	path[n] = 0;
	return strchr(path, '\n') ? NULL : strdup(path);
}

/* "0", then "INODE PATH" of each cgroup, a line each. Without it all works but vu_freezer_lift_record. */
static void write_record(struct vu_freezer *f)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *m;

	vu_close_p(&f->frost->record);
	f->frost->record = -EBADF;
	if (!f->record || !f->n)
		return;
	unlink(f->record);
	m = open_memstream(&text, &size);
	if (!m)
		return;
	fputs("0\n", m);
	for (size_t i = 0; i < f->n; i++) {
		_cleanup_free_ char *path = path_of(f->groups[i].dir);
		struct stat st;

		if (path && !fstat(f->groups[i].dir, &st))
			fprintf(m, "%llu %s\n", (unsigned long long)st.st_ino, path);
	}
	if (fclose(m))
		return;
	int fd = open(f->record, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0 && write(fd, text, size) == (ssize_t)size) {
		f->frost->record = fd;
		return;
	}
	vu_close_p(&fd);
	unlink(f->record);
}

static int lift_path(const char *path, unsigned long long ino)
{
	_cleanup_fd_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (dir < 0 || fstat(dir, &st) || st.st_ino != ino)
		return 0;
	_cleanup_fd_ int fd = openat(dir, "cgroup.freeze", O_RDWR | O_CLOEXEC);
	char is = '0';

	if (fd < 0 || pread(fd, &is, 1, 0) != 1 || is != '1')
		return 0;
	return write(fd, "0", 1) == 1;
}

int vu_freezer_lift_record(const char *record)
{
	int fd = open(record, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), n = 0;
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!f)
		return fd < 0 ? (errno == ENOENT ? 0 : -errno) : (close(fd), -ENOMEM);
	if (getline(&line, &size, f) > 0 && line[0] == '1')
		while (getline(&line, &size, f) > 0) {
			char *path;
			unsigned long long ino = strtoull(line, &path, 10);

			line[strcspn(line, "\n")] = 0;
			if (*path == ' ')
				n += lift_path(path + 1, ino);
		}
	unlink(record);
	return n;
}

/* ---- who is there ---- */

static void forget(struct vu_freezer *f)
{
	for (size_t i = 0; i < f->n; i++) {
		vu_close_p(&f->groups[i].dir);
		vu_close_p(&f->groups[i].freeze);
		vu_close_p(&f->groups[i].events);
	}
	f->n = 0;
}

/* The number of the newest process, by /proc/loadavg; 0: not known. */
static unsigned long newest(const struct vu_freezer *f)
{
	char text[128], *p;
	ssize_t n = pread(f->loadavg, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = 0;
	p = strrchr(text, ' ');
	return p ? strtoul(p, NULL, 10) : 0;
}

static bool add_group(struct vu_freezer *f, int dir)
{
	struct group *g = &f->groups[f->n];

	*g = (struct group){
		.dir = dir,
		.freeze = openat(dir, "cgroup.freeze", O_RDWR | O_CLOEXEC),
		.events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC),
	};
	f->frost->fds[f->n++] = g->freeze;
	/* one that has been removed meanwhile has nobody in it */
	return (g->freeze >= 0 && g->events >= 0) || faccessat(dir, "cgroup.procs", F_OK, 0);
}

/* Nobody is frozen. */
static void look(struct vu_freezer *f)
{
	int dirs[VU_FROZEN_MAX];
	int n = f->watch->look(f->watch->arg, dirs, VU_FROZEN_MAX);
	bool was = f->n;

	forget(f);
	f->cannot = n < 0;
	for (int i = 0; i < n; i++)
		if (!add_group(f, dirs[i]))
			f->cannot = true;
	atomic_store_explicit(&f->used, f->n && !f->cannot, memory_order_relaxed);
	if (f->n || was)
		write_record(f);
}

static void look_if_due(struct vu_freezer *f)
{
	uint64_t now = now_ns();

	if (now < f->next_ns)
		return;
	unsigned long pid = newest(f);

	f->next_ns = now + LOOK_NS;
	if (f->all_ns && pid && pid == f->newest && now < f->all_ns + LOOK_ALL_NS)
		return;
	f->newest = pid;
	look(f);
	f->all_ns = now_ns();
	f->next_ns = VU_MAX(f->next_ns, f->all_ns + LOOK_SHARE * (f->all_ns - now));
}

/* ---- freezing ---- */

/*
 * As long as guests are frozen, nobody else goes first: on a busy host a thread may otherwise wait for a
 * processor longer than they may be frozen. Where that is not allowed, the guardian sees to the limit. Who holds
 * them for longer would keep others from the processor for as long.
 */
static void hurry(const struct vu_freezer *f, bool on)
{
	struct sched_param p = {.sched_priority = on ? 1 : 0};

	if (f->watch->hold_ns)
		return;
	/* 0 is the calling thread */
	(void)sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &p);
}

static bool wait_frozen(const struct group *g, uint64_t until)
{
	char text[128];

	for (;;) {
		ssize_t n = pread(g->events, text, sizeof(text) - 1, 0);
		uint64_t now = now_ns();

		if (n < 0 && errno == ENODEV)
			return true; /* it has been removed */
		text[n > 0 ? n : 0] = 0;
		if (strstr(text, "frozen 1"))
			return true;
		if (n <= 0 || now >= until)
			return false;
		/* its poll(2) would do, but the kernel wakes at most once in 10 ms */
		sleep_until(VU_MIN(now + MS / 20, until));
	}
}

static void thaw(struct vu_freezer *f)
{
	uint64_t since = f->since_ns, now;

	f->stats.lifted += f->holds && atomic_load(&f->frost->state) != VU_FROZEN;
	/* the guardian may be at it, or was killed when it was */
	for (int i = 0; i < 1000 && !claim(f->frost); i++)
		sleep_until(now_ns() + MS / 10);
	vu_frost_end(f->frost);
	now = atomic_load(&f->frost->lifted_ns);
	if (!now)
		now = now_ns();
	f->holds = false;
	f->rest_ns = now + (now - since);
	if (now - since > f->stats.max_ns)
		f->stats.max_ns = now - since;
}

static bool freeze_all(struct vu_freezer *f)
{
	uint64_t one = 1;
	char is = '1';
	bool done = true;

	for (size_t i = 0; i < f->n; i++) /* somebody else's? */
		if (f->groups[i].freeze >= 0 &&
		    (pread(f->groups[i].freeze, &is, 1, 0) != 1 ? errno != ENODEV : is != '0'))
			return false;
	hurry(f, true);
	f->since_ns = now_ns();
	atomic_store(&f->frost->n, (unsigned)f->n);
	atomic_store(&f->frost->limit_ns, f->watch->hold_ns ? f->watch->hold_ns : LIMIT_NS);
	atomic_store(&f->frost->since_ns, f->since_ns);
	atomic_store(&f->frost->lifted_ns, 0);
	atomic_store(&f->frost->state, VU_FROZEN);
	if (f->frost->record >= 0)
		(void)!pwrite(f->frost->record, "1", 1, 0);
	if (f->frost->wake >= 0)
		(void)!write(f->frost->wake, &one, sizeof(one));
	for (size_t i = 0; i < f->n; i++)
		if (write(f->groups[i].freeze, "1", 1) < 0 && errno != ENODEV && errno != EBADF)
			done = false;
	for (size_t i = 0; done && i < f->n; i++)
		done = f->groups[i].freeze < 0 ||
		       wait_frozen(&f->groups[i], f->since_ns + SETTLE_NS);
	f->stats.times++;
	f->holds = done = done && atomic_load(&f->frost->state) == VU_FROZEN;
	if (!done) {
		thaw(f);
		hurry(f, false);
	}
	return done;
}

/* The first that comes in. 0; or -EAGAIN: not now. */
static int begin(struct vu_freezer *f)
{
	uint64_t now = now_ns();

	look_if_due(f);
	if (f->cannot)
		return f->watch->must ? -EAGAIN : 0;
	if (!f->n)
		return 0;
	if (now < f->rest_ns)
		sleep_until(f->rest_ns);
	if (freeze_all(f))
		return 0;
	f->stats.refused++;
	f->rest_ns = VU_MAX(f->rest_ns, now_ns() + (f->watch->must ? 0 : 10 * MS));
	f->cannot = !f->watch->must;
	if (f->cannot) { /* for a while the lease has to do */
		f->next_ns = now_ns() + REFUSED_NS;
		f->all_ns = 0;
	}
	return f->watch->must ? -EAGAIN : 0;
}

int vu_freezer_enter(struct vu_freezer *f)
{
	int r = 0;

	if (!f)
		return 0;
	pthread_mutex_lock(&f->lock);
	while (f->inside && f->holds && now_ns() > f->since_ns + JOIN_NS)
		pthread_cond_wait(&f->thawed, &f->lock);
	for (int i = 0; !f->inside && i < TRIES; i++) {
		r = begin(f);
		if (!r || f->cannot)
			break;
	}
	f->inside += !r;
	if (!r && f->holds)
		hurry(f, true);
	pthread_mutex_unlock(&f->lock);
	return r;
}

void vu_freezer_leave(struct vu_freezer *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	bool hurried = f->holds;

	if (!--f->inside) {
		if (f->holds)
			thaw(f);
		pthread_cond_broadcast(&f->thawed);
	}
	pthread_mutex_unlock(&f->lock);
	if (hurried)
		hurry(f, false);
}

bool vu_freezer_holds(const struct vu_freezer *f)
{
	return f && f->holds && atomic_load(&f->frost->state) == VU_FROZEN;
}

bool vu_freezer_has_time(const struct vu_freezer *f)
{
	return !f || !f->holds || now_ns() < f->since_ns + USE_NS;
}

bool vu_freezer_is_used(const struct vu_freezer *f)
{
	return f && atomic_load_explicit(&f->used, memory_order_relaxed);
}

struct vu_freezer_stats vu_freezer_stats(const struct vu_freezer *f)
{
	return f ? f->stats : (struct vu_freezer_stats){0};
}

int vu_freezer_new(const struct vu_freezer_watch *watch, struct vu_frost *frost, const char *record,
		   struct vu_freezer **ret)
{
	struct vu_freezer *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->groups = calloc(VU_FROZEN_MAX, sizeof(*f->groups));
	f->record = record ? strdup(record) : NULL;
	if (!f->groups || (record && !f->record)) {
		free(f->groups);
		free(f->record);
		free(f);
		return -ENOMEM;
	}
	f->watch = watch;
	f->own.wake = f->own.record = -EBADF;
	f->frost = frost ? frost : &f->own;
	f->loadavg = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->thawed, NULL);
	*ret = f;
	return 0;
}

struct vu_freezer *vu_freezer_free(struct vu_freezer *f)
{
	if (!f)
		return NULL;
	forget(f);
	vu_close_p(&f->frost->record);
	f->frost->record = -EBADF;
	if (f->record)
		unlink(f->record);
	vu_close_p(&f->loadavg);
	pthread_cond_destroy(&f->thawed);
	pthread_mutex_destroy(&f->lock);
	free(f->groups);
	free(f->record);
	free(f);
	return NULL;
}
