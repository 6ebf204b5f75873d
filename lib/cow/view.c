/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A path of another process is resolved as the kernel would for it: with root and working directory of this
 * thread being that process's, mount points and symlinks lead where they lead for it, whatever mount namespace
 * this thread is in (path lookup goes from mount to mount, not by namespace). What differs is /proc/self: it is
 * this process's there. So magic links are refused at first (RESOLVE_NO_MAGICLINKS, Linux 5.6), and a path
 * that has one is walked here, part by part, with the other process's numbers put in for "self" and
 * "thread-self".
 *
 * A hostile guest can make a lookup wait for long, by a FUSE file system of its own: that holds up a
 * supervisor's thread which is for this guest alone.
 */
#include "cow/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"

#define PAGE 4096UL
#define LINKS_MAX 40 /* symlinks in one path, as in the kernel */

struct vu_view {
	int proc;     /* owned; the host's /proc */
	int self_fds; /* owned; the host's /proc/self/fd */
	int host;     /* owned; the host's root */
	bool inside;  /* of the root below */
	struct vu_stat root;
	int descriptor; /* of vu_view_descriptor */
};

VU_DEFINE_CLEANUP(struct vu_view *, vu_view_free)

int vu_view_new(struct vu_view **ret)
{
	vu_cleanup(vu_view_free_p) struct vu_view *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->descriptor = -1;
	v->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	v->self_fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	v->host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (v->proc < 0 || v->self_fds < 0 || v->host < 0)
		return -errno;
	if (unshare(CLONE_FS))
		return -errno;
	*ret = vu_take_ptr(v);
	return 0;
}

struct vu_view *vu_view_free(struct vu_view *v)
{
	if (!v)
		return NULL;
	if (v->host >= 0)
		(void)vu_view_leave(v);
	vu_close_p(&v->proc);
	vu_close_p(&v->self_fds);
	vu_close_p(&v->host);
	free(v);
	return NULL;
}

/* ---- memory ---- */

ssize_t vu_view_read_path(pid_t tid, uint64_t address, char *buf)
{
	size_t got = 0;

	/* page by page: what comes behind the string need not be there */
	while (got < PATH_MAX) {
		size_t want = VU_MIN(PAGE - (address + got) % PAGE, PATH_MAX - got);
		struct iovec to = {buf + got, want};
		struct iovec from = {(void *)(uintptr_t)(address + got), want};
		ssize_t n = process_vm_readv(tid, &to, 1, &from, 1, 0);

		if (n <= 0)
			return n ? -errno : -EFAULT;
		const char *end = memchr(buf + got, 0, (size_t)n);

		if (end)
			return end - buf;
		got += (size_t)n;
	}
	return -ENAMETOOLONG;
}

int vu_view_read(pid_t tid, uint64_t address, void *buf, size_t size)
{
	struct iovec to = {buf, size}, from = {(void *)(uintptr_t)address, size};
	ssize_t n = process_vm_readv(tid, &to, 1, &from, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EFAULT;
}

/* ---- roots ---- */

static int enter(struct vu_view *v, pid_t tid)
{
	char path[32];
	struct vu_stat st;

	snprintf(path, sizeof(path), "%d/root", tid);
	_cleanup_fd_ int fd = openat(v->proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	if (v->inside && st.version.ino == v->root.version.ino &&
	    st.version.dev == v->root.version.dev && st.mount && st.mount == v->root.mount)
		return 0;
	v->inside = true;
	v->root = (struct vu_stat){0};
	if (fchdir(fd) || chroot("."))
		return -errno;
	v->root = st;
	return 0;
}

int vu_view_leave(struct vu_view *v)
{
	if (!v->inside)
		return 0;
	if (fchdir(v->host) || chroot("."))
		return -errno;
	v->inside = false;
	return 0;
}

/* ---- paths ---- */

static int open2(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_PATH | O_CLOEXEC, .resolve = resolve};
	long fd;

	/* EAGAIN: a rename went on meanwhile, and what ".." is cannot be told */
	for (int i = 0; i < 8; i++) {
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

/* Where a path begins; AT_FDCWD where it is absolute. */
static int open_start(const struct vu_view *v, pid_t tid, int dirfd, const char *text)
{
	char path[48];

	if (text && *text == '/')
		return AT_FDCWD;
	if (dirfd == AT_FDCWD)
		snprintf(path, sizeof(path), "%d/cwd", tid);
	else
		snprintf(path, sizeof(path), "%d/fd/%d", tid, dirfd);
	int fd = openat(v->proc, path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The parts of a path that are still to be walked, with the links in it put in. */
struct walk {
	struct vu_view *v;
	pid_t tid;
	int at; /* owned; where it has come to */
	char rest[2 * PATH_MAX];
	unsigned n_links;
	bool follow; /* the last one too */
	bool dir;    /* it ends in a slash: only a directory may be there */
};

static bool is_proc(int fd)
{
	struct statfs s;

	return !fstatfs(fd, &s) && s.f_type == PROC_SUPER_MAGIC;
}

static bool is_dir(int fd)
{
	struct vu_stat st;

	return !vu_stat_fd(fd, &st) && (st.mode & S_IFMT) == S_IFDIR;
}

static void move_to(struct walk *w, int fd)
{
	vu_close_p(&w->at);
	w->at = fd;
}

/* The number of the thread (or its process) in the PID namespace of the /proc that `at` is the root of. */
static int put_number(struct walk *w, const char *name, char *ret, size_t size)
{
	char path[64], text[4096] = "";
	bool thread = !strcmp(name, "thread-self");
	unsigned long tid = 0, tgid = 0;

	/* the innermost of its numbers is the one by which a /proc of its own shows it */
	snprintf(path, sizeof(path), "%d/status", w->tid);
	_cleanup_fd_ int fd = openat(w->v->proc, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -ESRCH;
	for (int k = 0; k < 2; k++) {
		const char *line = strstr(text, k ? "\nNStgid:" : "\nNSpid:");
		char *end = NULL;

		if (!line)
			return -ESRCH;
		line = strchr(line, ':') + 1;
		for (unsigned long n; *line && *line != '\n'; line = end) {
			n = strtoul(line, &end, 10);
			if (end == line)
				break;
			*(k ? &tgid : &tid) = n;
		}
	}
	if (thread)
		snprintf(ret, size, "%lu/task/%lu", tgid, tid);
	else
		snprintf(ret, size, "%lu", tgid);
	return 0;
}

/* Puts a link's text in front of the rest. */
static int put_link(struct walk *w, const char *text, const char *rest)
{
	char joined[sizeof(w->rest)];
	int n = snprintf(joined, sizeof(joined), "%s%s%s", text, *rest ? "/" : "", rest);

	if (n < 0 || (size_t)n >= sizeof(joined))
		return -ENAMETOOLONG;
	memcpy(w->rest, joined, (size_t)n + 1);
	if (*w->rest != '/')
		return 0;
	int fd = open2(AT_FDCWD, "/", 0, 0);

	if (fd < 0)
		return fd;
	move_to(w, fd);
	return 0;
}

static bool is_magic(int dir, const char *name)
{
	_cleanup_fd_ int fd = open2(dir, name, 0, RESOLVE_NO_MAGICLINKS);

	return fd == -ELOOP;
}

/* A link of a directory fd has a number for a name, and no other magic link has. */
static int descriptor_of(const char *name)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	return *name >= '0' && *name <= '9' && !*end && n <= INT_MAX ? (int)n : -1;
}

static int step_link(struct walk *w, int link, const char *name, const char *rest)
{
	char text[PATH_MAX];
	ssize_t n;

	if (++w->n_links > LINKS_MAX)
		return -ELOOP;
	if (is_proc(w->at) && (!strcmp(name, "self") || !strcmp(name, "thread-self"))) {
		int r = put_number(w, name, text, sizeof(text));

		return r ? r : put_link(w, text, rest);
	}
	n = readlinkat(link, "", text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	if (!is_proc(link) || !is_magic(w->at, name))
		return put_link(w, text, rest);
	/* it leads to what it stands for, not to what it says */
	int fd = open2(w->at, name, 0, 0);

	if (fd < 0)
		return fd;
	if (!*rest)
		w->v->descriptor = descriptor_of(name);
	move_to(w, fd);
	memmove(w->rest, rest, strlen(rest) + 1);
	return 0;
}

/* One part. */
static int step(struct walk *w)
{
	char name[NAME_MAX + 2], *rest = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(rest, "/");
	struct vu_stat st;

	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, rest, len);
	name[len] = 0;
	rest += len;
	bool more = *rest;

	w->dir |= more && !rest[strspn(rest, "/")];

	rest += strspn(rest, "/");
	_cleanup_fd_ int fd = open2(w->at, len ? name : ".", O_NOFOLLOW, RESOLVE_NO_MAGICLINKS);

	if (fd < 0)
		return fd;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	if ((st.mode & S_IFMT) == S_IFLNK && (*rest || more || w->follow))
		return step_link(w, fd, name, rest);
	move_to(w, vu_take_fd(fd));
	memmove(w->rest, rest, strlen(rest) + 1);
	return 0;
}

/* The whole path, part by part. */
static int walk(struct vu_view *v, pid_t tid, int start, const char *text, bool follow)
{
	struct walk *w = calloc(1, sizeof(*w));
	int r = 0;

	if (!w)
		return -ENOMEM;
	*w = (struct walk){.v = v, .tid = tid, .follow = follow};
	w->at = start == AT_FDCWD ? open2(AT_FDCWD, "/", 0, 0) : dup(start);
	if (w->at < 0)
		r = start == AT_FDCWD ? w->at : -errno;
	strcpy(w->rest, text);
	while (!r && w->rest[0])
		r = step(w);
	if (!r && w->dir && !is_dir(w->at))
		r = -ENOTDIR;
	if (!r)
		r = vu_take_fd(w->at);
	vu_close_p(&w->at);
	free(w);
	return r;
}

/*
 * Without a walk. Returns -ELOOP where one is needed: at a magic link; and where something is not found that may be
 * so only for this process: what self leads to, which in a /proc of another PID namespace is nothing at all. As
 * long as the path stays on one mount, which is not a /proc, that cannot be.
 */
static int open_plain(int start, const char *text, uint64_t flags)
{
	int fd = open2(start, text, flags, RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
	bool proc = fd == -ENOENT && start >= 0 && is_proc(start);

	if (fd == -EXDEV) {
		fd = open2(start, text, flags, RESOLVE_NO_MAGICLINKS);
		proc = true;
	}
	return fd == -ENOENT && proc && *text ? -ELOOP : fd;
}

static int open_target(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text)
{
	int start = open_start(v, tid, p->dirfd, p->self ? NULL : text);

	if (start < 0 && start != AT_FDCWD)
		return start;
	if (p->self || (!*text && p->empty_self)) {
		v->descriptor = p->dirfd;
		return start;
	}
	int fd = open_plain(start, text, p->follow ? 0 : O_NOFOLLOW);

	if (fd == -ELOOP)
		fd = walk(v, tid, start, text, p->follow);
	if (start >= 0)
		close(start);
	return fd;
}

int vu_view_resolve(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text,
		    struct vu_stat *ret_st)
{
	int r = enter(v, tid);

	v->descriptor = -1;
	if (r)
		return r;
	_cleanup_fd_ int fd = open_target(v, tid, p, text);

	if (fd < 0)
		return fd;
	r = vu_stat_fd(fd, ret_st);
	return r ? r : vu_take_fd(fd);
}

int vu_view_descriptor(const struct vu_view *v)
{
	return v->descriptor;
}

int vu_view_resolve_dir(struct vu_view *v, pid_t tid, const struct vu_call_path *p,
			const char *text, char *base, struct vu_stat *ret_st)
{
	struct vu_call_path dir = {.dirfd = p->dirfd, .empty_self = true, .follow = true};
	const char *slash = strrchr(text, '/'), *last = slash ? slash + 1 : text;
	char path[PATH_MAX];
	size_t len = slash == text ? 1 : slash ? (size_t)(slash - text) : 0;

	if (!*last || !strcmp(last, ".") || !strcmp(last, "..") || strlen(last) > NAME_MAX)
		return -EINVAL;
	strcpy(base, last);
	memcpy(path, text, len);
	path[len] = 0;
	_cleanup_fd_ int fd = vu_view_resolve(v, tid, &dir, path, ret_st);

	if (fd >= 0 && (ret_st->mode & S_IFMT) != S_IFDIR)
		return -ENOTDIR;
	return vu_take_fd(fd);
}

ssize_t vu_view_path(struct vu_view *v, int fd, char *buf)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", fd);
	ssize_t n = readlinkat(v->self_fds, name, buf, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	buf[n] = 0;
	return n >= PATH_MAX - 1 ? -ENAMETOOLONG : n;
}

int vu_view_parent(struct vu_view *v, int fd, char *base)
{
	char path[PATH_MAX];
	struct vu_stat st, there;
	ssize_t n = vu_view_path(v, fd, path);
	int r = n < 0 ? (int)n : vu_stat_fd(fd, &st);

	if (r)
		return r;
	char *slash = strrchr(path, '/');

	if (*path != '/' || !slash[1] || strlen(slash + 1) > NAME_MAX)
		return -ENOENT;
	strcpy(base, slash + 1);
	*slash = 0;
	_cleanup_fd_ int dir = open2(AT_FDCWD, *path ? path : "/", O_DIRECTORY,
				     RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

	if (dir < 0)
		return dir == -ELOOP || dir == -ENOTDIR ? -ENOENT : dir;
	r = vu_stat_at(dir, base, &there);
	if (r)
		return r;
	/* it says " (deleted)", or something else is there by now */
	if (there.version.ino != st.version.ino || there.version.dev != st.version.dev)
		return -ENOENT;
	return vu_take_fd(dir);
}

int vu_view_on_mount(int dir, int mount_fd)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} handle = {.h.handle_bytes = MAX_HANDLE_SZ};
	int mount;

	if (name_to_handle_at(dir, "", &handle.h, &mount, AT_EMPTY_PATH))
		return -errno;
	int fd = open_by_handle_at(mount_fd, &handle.h, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}
