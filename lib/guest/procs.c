/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities are read as text from /proc/PID/task/TID/status: libcap's cap_get_pid() gives neither
 * the bounding set nor those of one thread of another process. That file is read to its end: its
 * "Groups:" line stands before the capabilities, and a guest can make it as long as 65,536 groups.
 * The "Name:" line cannot fake another one, as the kernel escapes newlines in it.
 *
 * A process group's leader may have ended while other threads go on; then /proc/PID/root is gone, and
 * those of the threads are not. Hence the walk through task/.
 *
 * Roots are found by climbing ".." from /proc/PID/task/TID/root, which leads up the mounts of that
 * process' own namespace (Linux: a magic link gives mount and directory, and ".." never crosses our own
 * root, which is not there). Where a guest serves the file system of a process' root (FUSE), a step up
 * would ask it, and wait for ever if it does not answer: there the name that the kernel has for the
 * directory is followed down from the top instead, as far as the kernel knows it by heart. Most
 * processes share few roots, so the answer for one is kept.
 */
#include "guest/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"

#define CLIMB_MAX (1 << 20) /* directories; a guest chooses how deep it sits */
#define CACHED_TRIES 100
#define NO_ROOT SIZE_MAX

struct place {
	struct vu_procs_root at;
	uint64_t mount;
};

/* What was found out about a root directory: which of the given roots it belongs to. */
struct known {
	struct place place;
	size_t root;
};

struct scan {
	const struct vu_procs_root *roots;
	size_t n;
	struct vu_procs_found *found; /* borrowed; NULL: fn is called instead */
	int (*fn)(void *arg, size_t root, pid_t pid, int task_fd);
	void *fn_arg;
	bool all_tasks;	     /* fn is called for each thread */
	bool told;	     /* fn was called for this process */
	struct known *known; /* owned */
	size_t n_known;
	struct stat our_ns;
	struct place our_root;
	struct vu_procs_text status; /* owned */
};

/* DONT_SYNC: the root may lie on a file system that a guest serves, or that has gone away. */
static int place_of(int fd, struct place *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		  STATX_INO | STATX_MNT_ID, &stx))
		return -errno;
	*ret = (struct place){
		.at = {makedev(stx.stx_dev_major, stx.stx_dev_minor), stx.stx_ino},
		.mount = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id : 0,
	};
	return 0;
}

static bool same_place(const struct place *a, const struct place *b)
{
	return a->at.dev == b->at.dev && a->at.ino == b->at.ino && a->mount == b->mount;
}

static size_t find_root(const struct scan *s, const struct place *p)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->roots[i].dev == p->at.dev && s->roots[i].ino == p->at.ino)
			return i;
	return NO_ROOT;
}

/*
 * Opens a directory without asking its file system, which may be one that a guest serves: by what the
 * kernel has in memory, where the directories above an open one always are. -EAGAIN if that is not enough.
 */
static int open_cached(int dirfd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_CACHED | RESOLVE_NO_MAGICLINKS,
	};
	int fd = -1;

	/* somebody may just be renaming something */
	for (int i = 0; fd < 0 && i < CACHED_TRIES; i++) {
		fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN)
			break;
	}
	/* Linux before 5.12 */
	if (fd < 0 && errno == EINVAL)
		fd = openat(dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

struct naming {
	const struct scan *s;
	int task_fd, root_fd, self_fd;
	size_t root;
};

/* In a thread of its own, whose root directory and mounts become those of the task's namespace. */
static void *find_by_name(void *arg)
{
	struct naming *n = arg;
	_cleanup_fd_ int ns_fd = openat(n->task_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);
	char link[16], path[PATH_MAX];

	if (ns_fd < 0 || unshare(CLONE_FS) || setns(ns_fd, CLONE_NEWNS))
		return NULL;
	snprintf(link, sizeof(link), "%d", n->root_fd);
	ssize_t len = readlinkat(n->self_fd, link, path, sizeof(path) - 1);

	if (len <= 0 || path[0] != '/')
		return NULL;
	path[len] = 0;
	for (char *slash; n->root == NO_ROOT && (slash = strrchr(path, '/')); *slash = 0) {
		struct place p;
		_cleanup_fd_ int fd = open_cached(AT_FDCWD, slash == path ? "/" : path);

		if (fd >= 0 && !place_of(fd, &p))
			n->root = find_root(n->s, &p);
	}
	return NULL;
}

/* The innermost given root on the way to the directory fd, by the name that the kernel has for it. */
static size_t by_name(const struct scan *s, int task_fd, int fd)
{
	_cleanup_fd_ int self_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct naming n = {s, task_fd, fd, self_fd, NO_ROOT};
	pthread_t thread;

	if (self_fd >= 0 && !pthread_create(&thread, NULL, find_by_name, &n))
		pthread_join(thread, NULL);
	return n.root;
}

/* The innermost given root at or above the directory fd, which is at p. */
static size_t climb(const struct scan *s, int task_fd, int fd, struct place p)
{
	size_t root = find_root(s, &p);
	_cleanup_fd_ int at = -EBADF;

	for (int i = 0; root == NO_ROOT && i < CLIMB_MAX; i++) {
		int up = open_cached(at >= 0 ? at : fd, "..");
		struct place above;

		if (up == -EAGAIN) {
			root = by_name(s, task_fd, at >= 0 ? at : fd);
			if (root != NO_ROOT)
				break;
			/* mounts can hide what a name leads to: rather wait than let a guest through */
			up = openat(at >= 0 ? at : fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		}
		if (up < 0)
			break;
		if (at >= 0)
			close(at);
		at = up;
		if (place_of(at, &above) || same_place(&above, &p))
			break;
		p = above;
		root = find_root(s, &p);
	}
	return root;
}

/* Which of the given roots the directory fd belongs to. Returns 0 or -ENOMEM. */
static int root_of(struct scan *s, int task_fd, int fd, size_t *ret_root)
{
	struct place p;

	*ret_root = NO_ROOT;
	if (place_of(fd, &p))
		return 0;
	for (size_t i = 0; i < s->n_known; i++)
		if (same_place(&s->known[i].place, &p)) {
			*ret_root = s->known[i].root;
			return 0;
		}
	struct known *more = reallocarray(s->known, s->n_known + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	s->known = more;
	*ret_root = climb(s, task_fd, fd, p);
	more[s->n_known++] = (struct known){.place = p, .root = *ret_root};
	return 0;
}

int vu_procs_status(int task_fd, struct vu_procs_text *text)
{
	_cleanup_fd_ int fd = openat(task_fd, "status", O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got = 1;

	if (fd < 0)
		return -errno;
	while (got) {
		if (n + 4096 > text->cap) {
			char *more = realloc(text->s, text->cap * 2 + 8192);

			if (!more)
				return -ENOMEM;
			text->s = more;
			text->cap = text->cap * 2 + 8192;
		}
		got = read(fd, text->s + n, text->cap - n - 1);
		if (got < 0 && errno != EINTR)
			return -errno;
		n += got > 0 ? (size_t)got : 0;
	}
	text->s[n] = 0;
	return 0;
}

/* A line that is not there counts as yes. */
static bool in_set(const char *status, const char *line, unsigned cap)
{
	const char *p = strstr(status, line);

	return !p || strtoull(p + strlen(line), NULL, 16) >> cap & 1;
}

bool vu_procs_can_have(const char *status, unsigned cap)
{
	return in_set(status, "\nCapPrm:\t", cap) || in_set(status, "\nCapEff:\t", cap) ||
	       in_set(status, "\nCapBnd:\t", cap);
}

/* Could the task lift immutable flags? 1, 0, or a negative errno: -ENOMEM, or it has ended. */
static int is_capable(struct scan *s, int task_fd)
{
	struct stat ns;

	if (fstatat(task_fd, "ns/user", &ns, 0))
		return errno == ENOENT || errno == ESRCH ? -ESRCH : 1;
	if (ns.st_dev != s->our_ns.st_dev || ns.st_ino != s->our_ns.st_ino)
		return 0;
	int r = vu_procs_status(task_fd, &s->status);

	if (r == -ENOMEM || r == -ESRCH || r == -ENOENT)
		return r == -ENOENT ? -ESRCH : r;
	return r || vu_procs_can_have(s->status.s, CAP_LINUX_IMMUTABLE);
}

void vu_procs_name(int task_fd, char name[VU_PROCS_NAME_MAX])
{
	_cleanup_fd_ int fd = openat(task_fd, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, VU_PROCS_NAME_MAX - 1);

	if (n > 0 && name[n - 1] == '\n')
		n--;
	name[n > 0 ? n : 0] = 0;
}

/* Is this thread the first of its root's that could lift the flag? Returns 0 or -ENOMEM. */
static int judge(struct scan *s, struct vu_procs_found *found, int task_fd, pid_t pid)
{
	if (found->capable_pid)
		return 0;
	int r = is_capable(s, task_fd);

	if (r == 1) {
		found->capable_pid = pid;
		vu_procs_name(task_fd, found->capable_name);
	}
	return r == -ENOMEM ? r : 0;
}

/* Looks at one thread of pid. Returns 0 or what ends the scan; *ret_root may be NO_ROOT. */
static int look_at_task(struct scan *s, int tasks_fd, const char *tid, pid_t pid, size_t *ret_root)
{
	_cleanup_fd_ int task_fd = openat(tasks_fd, tid, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int root_fd =
		task_fd < 0 ? -EBADF : openat(task_fd, "root", O_PATH | O_CLOEXEC);

	*ret_root = NO_ROOT;
	if (root_fd < 0)
		return vu_is_want(-errno) ? -errno : 0;
	int r = root_of(s, task_fd, root_fd, ret_root);

	if (r || *ret_root == NO_ROOT)
		return r;
	if (s->found)
		return judge(s, &s->found[*ret_root], task_fd, pid);
	s->told = !s->all_tasks;
	return s->fn(s->fn_arg, *ret_root, pid, task_fd);
}

/* Opens a directory below dirfd for reading. NULL with errno. */
static DIR *open_dir(int dirfd, const char *path)
{
	_cleanup_fd_ int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d)
		fd = -EBADF; /* d's own now */
	return d;
}

static bool is_number(const char *s)
{
	return *s >= '1' && *s <= '9';
}

/*
 * Has the process (its first thread) the root directory that this one has? Then it is the host's: a thread of it
 * in a guest's root works there, as those do that answer a guest's calls (lib/cow/view). None of a guest's could
 * have that.
 */
static bool is_hosts(const struct scan *s, int proc_fd, const char *pid)
{
	char path[32];
	struct place p;

	snprintf(path, sizeof(path), "%.20s/root", pid);
	_cleanup_fd_ int fd = openat(proc_fd, path, O_PATH | O_CLOEXEC);

	return fd >= 0 && !place_of(fd, &p) && same_place(&p, &s->our_root);
}

/* Is our own root directory known to be none of the given ones, nor to lie in one? */
static bool is_host_apart(const struct scan *s)
{
	for (size_t i = 0; i < s->n_known; i++)
		if (same_place(&s->known[i].place, &s->our_root))
			return s->known[i].root == NO_ROOT;
	return false;
}

/*
 * All threads of a process. It counts once for each root that one of them has. Most processes of a host are its own:
 * once it is known that these are of no guest, nothing more is asked of them.
 */
static int look_at_process(struct scan *s, int proc_fd, const char *pid)
{
	char path[32];
	struct dirent *d;
	size_t root, last = NO_ROOT;
	int r = 0;
	bool first_only = is_hosts(s, proc_fd, pid);

	if (first_only && is_host_apart(s))
		return 0;
	snprintf(path, sizeof(path), "%.20s/task", pid);
	_cleanup_closedir_ DIR *tasks = open_dir(proc_fd, path);

	if (!tasks)
		return vu_is_want(-errno) ? -errno : 0;
	s->told = false;
	while (!r && !s->told && (d = readdir(tasks))) {
		if (!is_number(d->d_name) || (first_only && strcmp(d->d_name, pid)))
			continue;
		r = look_at_task(s, dirfd(tasks), d->d_name, (pid_t)atoi(pid), &root);
		/* threads with roots of their own are rare: such a process may count twice */
		if (!r && s->found && root != NO_ROOT && root != last) {
			s->found[root].n_processes++;
			last = root;
		}
	}
	return r;
}

/* Returns 0, or -1 with errno. */
static int look_at_self(struct scan *s, int proc_fd)
{
	_cleanup_fd_ int root = openat(proc_fd, "self/root", O_PATH | O_CLOEXEC);
	int r = root < 0 ? -errno : place_of(root, &s->our_root);

	if (!r && fstatat(proc_fd, "self/ns/user", &s->our_ns, 0))
		r = -errno;
	errno = -r;
	return r ? -1 : 0;
}

static int look_at_all(struct scan *s)
{
	_cleanup_closedir_ DIR *proc = open_dir(AT_FDCWD, "/proc");
	struct dirent *d;
	int r = 0;

	if (!proc || look_at_self(s, dirfd(proc)))
		return -errno;
	while (!r && s->n && (d = readdir(proc)))
		if (is_number(d->d_name))
			r = look_at_process(s, dirfd(proc), d->d_name);
	free(s->known);
	free(s->status.s);
	return r;
}

int vu_procs_scan(const struct vu_procs_root *roots, size_t n, struct vu_procs_found *ret_found)
{
	_cleanup_free_ struct vu_procs_found *found = calloc(n + 1, sizeof(*found));
	struct scan s = {.roots = roots, .n = n, .found = found};

	if (!found)
		return -ENOMEM;
	int r = look_at_all(&s);

	if (!r && n)
		memcpy(ret_found, found, n * sizeof(*found));
	return r;
}

int vu_procs_each(const struct vu_procs_root *roots, size_t n,
		  int (*fn)(void *arg, size_t root, pid_t pid, int task_fd), void *arg)
{
	struct scan s = {.roots = roots, .n = n, .fn = fn, .fn_arg = arg};

	return look_at_all(&s);
}

int vu_procs_each_task(const struct vu_procs_root *roots, size_t n,
		       int (*fn)(void *arg, size_t root, pid_t pid, int task_fd), void *arg)
{
	struct scan s = {.roots = roots, .n = n, .fn = fn, .fn_arg = arg, .all_tasks = true};

	return look_at_all(&s);
}

int vu_procs_one(const struct vu_procs_root *roots, size_t n, pid_t pid,
		 int (*fn)(void *arg, size_t root, pid_t pid, int task_fd), void *arg)
{
	struct scan s = {.roots = roots, .n = n, .fn = fn, .fn_arg = arg};
	_cleanup_fd_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[16];

	if (proc < 0)
		return -errno;
	snprintf(name, sizeof(name), "%d", (int)pid);
	int r = look_at_self(&s, proc) ? -errno : look_at_process(&s, proc, name);

	free(s.known);
	return r;
}
