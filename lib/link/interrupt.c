/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/locks (Linux 6.18; the same since 5.13) has one line for each lease,
 *
 *   1: LEASE  BREAKING  UNLCK 28973 fe:00:1533889 0 EOF
 *   1: -> LEASE  BREAKER   WRITE 28974 <none>:0 0 EOF
 *
 * with those who wait for it indented below it. The device is the superblock's. The number is a
 * process's (tgid); its threads that sleep in __break_lease are found by their wchan, or, where that is
 * hidden, by sleeping at all.
 *
 * Two ways: ptrace (seize, interrupt, wait, detach: invisible to the parent, 1 ms; should this process
 * be killed meanwhile, the kernel lets the other go on), and where somebody else traces the process,
 * SIGSTOP and SIGCONT (6 ms; the parent may see it). Freezing and thawing its cgroup would do as well, but
 * whoever is frozen stands in the ledger (link/freezer.h), which this knows nothing of.
 */
#include "link/interrupt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sabotage.h"

#define STOP_TRIES 400	  /* of 50 microseconds: how long a thread may take to stop */
#define PTRACE_TRIES 4000 /* the same: one that stops later stays so until this thread ends */

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

static ssize_t read_file(const char *path, char *buf, size_t size)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	buf[n > 0 ? n : 0] = 0;
	return n;
}

/* The state letter of a thread, or 0. */
static char state_of(pid_t tgid, pid_t tid)
{
	char path[64], stat[512], *p;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)tgid, (int)tid);
	if (read_file(path, stat, sizeof(stat)) <= 0)
		return 0;
	p = strrchr(stat, ')');
	return p && p[1] == ' ' ? p[2] : 0;
}

static bool waits(pid_t tgid, pid_t tid)
{
	char path[64], wchan[128];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/wchan", (int)tgid, (int)tid);
	if (read_file(path, wchan, sizeof(wchan)) > 0 && strcmp(wchan, "0"))
		return strstr(wchan, "break_lease") != NULL;
	return state_of(tgid, tid) == 'S';
}

static bool by_ptrace(pid_t tid)
{
	int status;
	pid_t w = 0;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return errno == ESRCH; /* it is gone: as good */
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return errno == ESRCH;
	for (int i = 0; i < PTRACE_TRIES && !w; i++) {
		w = waitpid(tid, &status, __WALL | WNOHANG);
		if (!w)
			nap();
	}
	/* Without a stop it cannot be let go of before this thread ends; it runs on meanwhile. */
	if (w != tid || !WIFSTOPPED(status))
		return w == tid || (w < 0 && errno == ECHILD);
	int sig = status >> 16 == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status);

	ptrace(PTRACE_DETACH, tid, NULL, (void *)(intptr_t)sig);
	return true;
}

static void by_signal(pid_t tgid)
{
	/* one that is stopped already does not wait for a lease */
	if (state_of(tgid, tgid) == 'T' || kill(tgid, SIGSTOP))
		return;
	for (int i = 0; i < STOP_TRIES; i++) {
		char s = state_of(tgid, tgid);

		if (!s || s == 'T' || s == 't')
			break;
		nap();
	}
	kill(tgid, SIGCONT);
}

static void interrupt(pid_t tgid)
{
	char path[64];
	const struct dirent *e;
	bool done = true;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)tgid);
	_cleanup_closedir_ DIR *d = opendir(path);

	if (!d || tgid == getpid())
		return;
	while ((e = readdir(d))) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid > 0 && waits(tgid, tid) && !by_ptrace(tid))
			done = false;
	}
	if (!done)
		by_signal(tgid);
}

void vu_interrupt_thread(pid_t tgid, pid_t tid)
{
	if (tgid != getpid() && !by_ptrace(tid))
		by_signal(tgid);
}

/* Which leases are asked for: those on some inodes, or those that a process holds. */
struct asked {
	struct vu_wanted *v;
	size_t n;
	pid_t holder; /* 0: by inode */
};

/* The wanted inode of a lease's own line; without inodes, a place for all that the holder has. */
static struct vu_wanted *find_asked(const char *line, const struct asked *a)
{
	unsigned major, minor;
	uint64_t ino;
	int pid;

	if (sscanf(line, "%*[0-9]: LEASE %*s %*s %d %x:%x:%" SCNu64, &pid, &major, &minor, &ino) !=
	    4)
		return NULL;
	if (a->holder)
		return pid == a->holder ? a->v : NULL;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].ino == ino && a->v[i].super_dev == makedev(major, minor)) {
			a->v[i].found = true;
			return &a->v[i];
		}
	return NULL;
}

static void remember(struct vu_waiters *seen, pid_t pid)
{
	for (unsigned i = 0; i < seen->n; i++)
		if (seen->v[i] == pid)
			return;
	if (seen->n < VU_ARRAY_SIZE(seen->v))
		seen->v[seen->n++] = pid;
}

void vu_waiters_add(struct vu_waiters *to, const struct vu_waiters *more)
{
	for (unsigned i = 0; i < more->n; i++)
		remember(to, more->v[i]);
}

static int interrupt_asked(const struct asked *a)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/locks", "re");
	_cleanup_free_ char *line = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	char buf[16384];
	size_t size = 0, n = 0, cap = 0;
	struct vu_wanted *of = NULL;

	if (!f)
		return -errno;
	if (vu_sabotaged(NO_INTERRUPT))
		return 0;
	/* each read(2) waits until no file is being opened: it gives a page, not the 1 KiB of stdio */
	setvbuf(f, buf, _IOFBF, sizeof(buf));
	while (getline(&line, &size, f) > 0) {
		const char *b = strstr(line, "BREAKER");
		int pid;

		if (!strstr(line, "->")) {
			of = find_asked(line, a);
			continue;
		}
		if (!b || !of || sscanf(b, "BREAKER %*s %d", &pid) != 1 || pid <= 0)
			continue;
		if (n == cap) {
			cap = cap ? 2 * cap : 16;
			pid_t *more = realloc(pids, cap * sizeof(*pids));

			if (!more)
				return -ENOMEM;
			pids = more;
		}
		pids[n++] = pid;
		of->n++;
		remember(&of->seen, pid);
	}
	for (size_t i = 0; i < n; i++)
		interrupt(pids[i]);
	return 0;
}

int vu_interrupt_waiters_each(struct vu_wanted *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		v[i].n = 0;
		v[i].found = vu_sabotaged(NO_INTERRUPT);
	}
	return interrupt_asked(&(struct asked){.v = v, .n = n});
}

int vu_interrupt_waiters(uint64_t super_dev, uint64_t ino, struct vu_waiters *seen)
{
	struct vu_wanted one = {.super_dev = super_dev, .ino = ino};

	if (seen)
		one.seen = *seen;
	int r = interrupt_asked(&(struct asked){.v = &one, .n = 1});

	if (seen)
		*seen = one.seen;
	return r ? r : (int)one.n;
}

int vu_interrupt_waiters_of(pid_t holder)
{
	struct vu_wanted all = {0};
	int r = interrupt_asked(&(struct asked){.v = &all, .n = 1, .holder = holder});

	return r ? r : (int)all.n;
}
