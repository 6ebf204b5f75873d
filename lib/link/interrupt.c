/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/locks (Linux 6.18; the same since 5.13) has one line for each lease,
 *
 *   1: LEASE  BREAKING  UNLCK 28973 fe:00:1533889 0 EOF
 *   1: -> LEASE  BREAKER   WRITE 28974 <none>:0 0 EOF
 *
 * with those who wait for it indented below it. The device is not compared: btrfs shows another one
 * there than in st_dev, and an interruption too many does no harm. The number is a process's (tgid);
 * its threads that sleep in __break_lease are found by their wchan, or, where that is hidden, by
 * sleeping at all.
 *
 * Three ways, the first that works: ptrace (seize, interrupt, wait, detach: invisible to the parent,
 * 1 ms); freezing and thawing its cgroup v2 (0.2 to 2 ms; not the root cgroup's); SIGSTOP and SIGCONT
 * (6 ms; the parent may see it), where somebody else traces the process.
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

/* Where cgroup2 is mounted: alone, or beside cgroup v1. */
static const char *const cgroup_tops[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

static bool write_file(const char *path, const char *text)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool freeze_and_thaw(const char *dir)
{
	_cleanup_free_ char *file = NULL, *events = NULL;
	char text[128];

	if (asprintf(&file, "%s/cgroup.freeze", dir) < 0)
		return (file = NULL, false);
	if (asprintf(&events, "%s/cgroup.events", dir) < 0)
		return (events = NULL, false);
	/* somebody else's freeze is not ours to lift */
	if (read_file(file, text, sizeof(text)) <= 0 || text[0] != '0' || !write_file(file, "1"))
		return false;
	for (int i = 0; i < STOP_TRIES; i++) {
		if (read_file(events, text, sizeof(text)) > 0 && strstr(text, "frozen 1"))
			break;
		nap();
	}
	for (int i = 0; i < 16 && !write_file(file, "0"); i++)
		nap();
	return true;
}

static bool same_cgroup(pid_t tgid, const char *path)
{
	char own[4096], file[64];

	(void)tgid;
	snprintf(file, sizeof(file), "/proc/self/cgroup");
	if (read_file(file, own, sizeof(own)) <= 0)
		return true;
	char *line = strstr(own, "0::");

	if (!line)
		return false;
	line[strcspn(line, "\n")] = 0;
	size_t len = strlen(path);

	/* freezing a cgroup that this process is in, or below, would freeze itself */
	return !strncmp(line + 3, path, len) && (!line[3 + len] || line[3 + len] == '/');
}

static bool by_freezer(pid_t tgid)
{
	char file[64], text[4096];

	snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)tgid);
	if (read_file(file, text, sizeof(text)) <= 0)
		return false;
	char *line = strncmp(text, "0::", 3) ? strstr(text, "\n0::") : text;

	if (!line)
		return false;
	line += *line == '\n' ? 4 : 3;
	line[strcspn(line, "\n")] = 0;
	if (!strcmp(line, "/") || same_cgroup(tgid, line))
		return false;
	for (size_t i = 0; i < VU_ARRAY_SIZE(cgroup_tops); i++) {
		_cleanup_free_ char *dir = NULL;

		if (asprintf(&dir, "%s%s", cgroup_tops[i], line) < 0)
			return (dir = NULL, false);
		if (freeze_and_thaw(dir))
			return true;
	}
	return false;
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
	if (!done && !by_freezer(tgid))
		by_signal(tgid);
}

/* Which leases are asked for: those on an inode, or, with ino 0, those that a process holds. */
struct asked {
	uint64_t ino;
	pid_t holder;
};

/* Is it the own line of a lease that is asked for? */
static bool is_asked(const char *line, const struct asked *a)
{
	unsigned major, minor;
	uint64_t ino;
	int pid;

	if (sscanf(line, "%*[0-9]: LEASE %*s %*s %d %x:%x:%" SCNu64, &pid, &major, &minor, &ino) !=
	    4)
		return false;
	return a->ino ? ino == a->ino : pid == a->holder;
}

static void remember(struct vu_waiters *seen, pid_t pid)
{
	for (unsigned i = 0; i < seen->n; i++)
		if (seen->v[i] == pid)
			return;
	if (seen->n < VU_ARRAY_SIZE(seen->v))
		seen->v[seen->n++] = pid;
}

static int interrupt_asked(const struct asked *a, struct vu_waiters *seen)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/locks", "re");
	_cleanup_free_ char *line = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	size_t size = 0, n = 0, cap = 0;
	bool of = false;

	if (!f)
		return -errno;
	if (vu_sabotaged(NO_INTERRUPT))
		return 0;
	while (getline(&line, &size, f) > 0) {
		const char *b = strstr(line, "BREAKER");
		int pid;

		if (!strstr(line, "->")) {
			of = is_asked(line, a);
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
	}
	for (size_t i = 0; i < n; i++) {
		if (seen)
			remember(seen, pids[i]);
		interrupt(pids[i]);
	}
	return (int)n;
}

int vu_interrupt_waiters(uint64_t ino, struct vu_waiters *seen)
{
	return interrupt_asked(&(struct asked){.ino = ino}, seen);
}

int vu_interrupt_waiters_of(pid_t holder)
{
	return interrupt_asked(&(struct asked){.holder = holder}, NULL);
}
