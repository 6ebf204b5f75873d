/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A path of another process is resolved as the kernel would for it: with root and working directory of this
 * thread being that process's, mount points and symlinks lead where they lead for it, whatever mount namespace
 * this thread is in (path lookup goes from mount to mount, not by namespace). What differs is /proc/self: it is
 * this process's there. So magic links are refused at first (RESOLVE_NO_MAGICLINKS, Linux 5.6), and a path
 * that has one is walked part by part (cow/proc-walk.h), with the other process's numbers put in for "self" and
 * "thread-self".
 *
 * To enter a root and leave it again are four system calls, which is half of what most notifications cost. So the
 * kernel is first asked without: from an open root, to which ".." and absolute links are bound (RESOLVE_IN_ROOT),
 * or from an open directory that the path must not lead out of (RESOLVE_BENEATH). What that finds, and what it does
 * not find, is the same; where a path leads on is told by EXDEV, and it is looked up inside.
 *
 * A hostile guest can make a lookup wait for long, by a FUSE file system of its own: that holds up a
 * supervisor's thread which is for this guest alone.
 */
#include "cow/view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/proc-walk.h"
#include "cow/start.h"

#define PAGE 4096UL
#define PATH_SHORT 256 /* bytes that most paths fit in: the rest of the page is not copied */

struct vu_view {
	struct vu_starts *starts; /* owned */
	int proc;		  /* owned; the host's /proc */
	int self_fds;		  /* owned; the host's /proc/self/fd */
	int host;		  /* owned; the host's root */
	uint64_t dev;		  /* of the file system that can be waited for */
	bool inside;		  /* of the root below */
	struct vu_stat root;
	pid_t tid;	/* whose path was resolved last */
	int descriptor; /* of vu_view_descriptor */
};

VU_DEFINE_CLEANUP(struct vu_view *, vu_view_free)

int vu_view_new(uint64_t dev, uint64_t root, struct vu_view **ret)
{
	vu_cleanup(vu_view_free_p) struct vu_view *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->dev = dev;
	v->descriptor = -1;
	v->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	v->self_fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	v->host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (v->proc < 0 || v->self_fds < 0 || v->host < 0)
		return -errno;
	v->starts = vu_starts_new(v->proc, dev, root);
	if (!v->starts)
		return -ENOMEM;
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
	vu_starts_free(v->starts);
	vu_close_p(&v->proc);
	vu_close_p(&v->self_fds);
	vu_close_p(&v->host);
	free(v);
	return NULL;
}

void vu_view_begin(struct vu_view *v)
{
	vu_starts_begin(v->starts);
}

void vu_view_end(struct vu_view *v)
{
	vu_starts_end(v->starts);
}

/* ---- memory ---- */

ssize_t vu_view_read_path(pid_t tid, uint64_t address, char *buf)
{
	size_t got = 0;

	/* page by page: what comes behind the string need not be there */
	while (got < PATH_MAX) {
		size_t want =
			VU_MIN(PAGE - (address + got) % PAGE, got ? PATH_MAX - got : PATH_SHORT);
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

bool vu_view_read_two(pid_t tid, const uint64_t address[2], char *const buf[2])
{
	struct iovec to[2], from[2];
	size_t all = 0;

	for (unsigned i = 0; i < 2; i++) {
		size_t want = VU_MIN(PAGE - address[i] % PAGE, PATH_SHORT);

		to[i] = (struct iovec){buf[i], want};
		from[i] = (struct iovec){(void *)(uintptr_t)address[i], want};
		all += want;
	}
	return process_vm_readv(tid, to, 2, from, 2, 0) == (ssize_t)all &&
	       memchr(buf[0], 0, to[0].iov_len) && memchr(buf[1], 0, to[1].iov_len);
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
	struct vu_start s;
	int r = vu_starts_get(v->starts, tid, true, 0, &s);

	if (r)
		return r;
	if (v->inside && s.st.version.ino == v->root.version.ino &&
	    s.st.version.dev == v->root.version.dev && s.st.mount && s.st.mount == v->root.mount)
		return 0;
	v->inside = true;
	v->root = (struct vu_stat){0};
	if (fchdir(s.fd) || chroot("."))
		return -errno;
	v->root = s.st;
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

/* What dirfd is of the thread, in /proc. */
static int open_link(const struct vu_view *v, pid_t tid, int dirfd)
{
	char path[48];

	if (dirfd == AT_FDCWD)
		snprintf(path, sizeof(path), "%d/cwd", tid);
	else
		snprintf(path, sizeof(path), "%d/fd/%d", tid, dirfd);
	int fd = openat(v->proc, path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/*
 * Without a walk. Returns -ELOOP where one is needed: at a magic link; and where something is not found that may be
 * so only for this process: what self leads to, which in a /proc of another PID namespace is nothing at all. As
 * long as the path stays on one mount, which is not a /proc, that cannot be.
 */
static int open_plain(int start, const char *text, uint64_t flags)
{
	int fd = vu_walk_open(start, text, flags, RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
	bool proc = fd == -ENOENT && start >= 0 && vu_walk_is_proc(start);

	if (fd == -EXDEV) {
		fd = vu_walk_open(start, text, flags, RESOLVE_NO_MAGICLINKS);
		proc = true;
	}
	return fd == -ENOENT && proc && *text ? -ELOOP : fd;
}

/*
 * What the kernel has in its cache is answered without waiting for anybody (RESOLVE_CACHED, Linux 5.12); else the one
 * file system is asked. Returns -EAGAIN where that does not tell; or as open_outside.
 */
static int open_quickly(const struct vu_view *v, const struct vu_start *start, const char *text,
			uint64_t flags, uint64_t resolve)
{
	int fd = vu_walk_open(start->fd, text, flags, resolve | RESOLVE_NO_XDEV | RESOLVE_CACHED);

	if (fd >= 0)
		return fd;
	/* what is not there in a /proc may be there for the other */
	if (fd != -EXDEV && start->st.version.dev != v->dev)
		fd = -EXDEV;
	else if (fd == -EAGAIN)
		fd = vu_walk_open(start->fd, text, flags, resolve | RESOLVE_NO_XDEV);
	if (fd != -EXDEV)
		return fd;
	fd = vu_walk_open(start->fd, text, flags, resolve | RESOLVE_CACHED);
	return fd < 0 ? -EAGAIN : fd;
}

/* From outside of the root. Returns -EXDEV, -ELOOP or -EAGAIN where it is to be resolved inside. */
static int open_outside(const struct vu_view *v, pid_t tid, const struct vu_call_path *p,
			const char *text, enum vu_view_how how)
{
	struct vu_start start;
	bool absolute = *text == '/';
	uint64_t flags = p->follow ? 0 : O_NOFOLLOW;
	uint64_t resolve = RESOLVE_NO_MAGICLINKS | (absolute ? RESOLVE_IN_ROOT : RESOLVE_BENEATH);
	int r = vu_starts_get(v->starts, tid, absolute, p->dirfd, &start);

	if (r)
		return r;
	if (how == VU_VIEW_QUICKLY)
		return open_quickly(v, &start, text, flags, resolve);
	/* as above */
	if (start.st.version.dev != v->dev && vu_walk_is_proc(start.fd))
		return -EXDEV;
	return vu_walk_open(start.fd, text, flags, resolve | RESOLVE_NO_XDEV);
}

static int open_inside(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text)
{
	struct vu_start start = {.fd = AT_FDCWD};
	int r = enter(v, tid);

	if (!r && *text != '/')
		r = vu_starts_get(v->starts, tid, false, p->dirfd, &start);
	if (r)
		return r;
	int fd = open_plain(start.fd, text, p->follow ? 0 : O_NOFOLLOW);

	return fd == -ELOOP ? vu_walk(v->proc, tid, start.fd, text, p->follow, &v->descriptor) : fd;
}

static int open_target(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text,
		       enum vu_view_how how)
{
	if (p->self || (!*text && p->empty_self)) {
		v->descriptor = p->dirfd;
		return open_link(v, tid, p->dirfd);
	}
	int fd = open_outside(v, tid, p, text, how);
	bool inside = fd == -EXDEV || fd == -ELOOP || fd == -EAGAIN;

	if (inside && how == VU_VIEW_QUICKLY)
		return -EAGAIN;
	return inside ? open_inside(v, tid, p, text) : fd;
}

int vu_view_resolve(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text,
		    enum vu_view_how how, struct vu_stat *ret_st)
{
	v->descriptor = -1;
	v->tid = tid;
	_cleanup_fd_ int fd = open_target(v, tid, p, text, how);

	if (fd < 0)
		return fd;
	int r = vu_stat_fd(fd, ret_st);

	return r ? r : vu_take_fd(fd);
}

/* A name in the directory that the path begins at, on the file system that can be waited for. */
static bool is_name(const struct vu_view *v, const struct vu_start *start, const char *text)
{
	return start->st.version.dev == v->dev && !strchr(text, '/') && strcmp(text, ".") &&
	       strcmp(text, "..");
}

static int look_for(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text,
		    struct vu_stat *ret)
{
	struct vu_start start;
	int r = vu_starts_get(v->starts, tid, *text == '/', p->dirfd, &start);

	if (r)
		return r;
	if (is_name(v, &start, text)) {
		r = vu_stat_at(start.fd, text, ret);
		if (r || !p->follow || !S_ISLNK(ret->mode))
			return r;
	}
	_cleanup_fd_ int fd = vu_view_resolve(v, tid, p, text, VU_VIEW_QUICKLY, ret);

	return VU_MIN(fd, 0);
}

int vu_view_look(struct vu_view *v, pid_t tid, const struct vu_call_path *p, const char *text,
		 struct vu_stat *ret)
{
	char path[48];

	if (!p->self && *text)
		return look_for(v, tid, p, text, ret);
	if (!p->self && !p->empty_self)
		return -ENOENT;
	if (p->dirfd == AT_FDCWD)
		snprintf(path, sizeof(path), "%d/cwd", tid);
	else
		snprintf(path, sizeof(path), "%d/fd/%d", tid, p->dirfd);
	return vu_stat_follow(v->proc, path, ret);
}

int vu_view_descriptor(const struct vu_view *v)
{
	return v->descriptor;
}

ssize_t vu_view_split(const char *text, char *base)
{
	const char *slash = strrchr(text, '/'), *last = slash ? slash + 1 : text;

	if (!*last || !strcmp(last, ".") || !strcmp(last, "..") || strlen(last) > NAME_MAX)
		return -EINVAL;
	strcpy(base, last);
	return slash == text ? 1 : slash ? slash - text : 0;
}

/* Of a name that stands alone. */
static int open_start(struct vu_view *v, pid_t tid, int dirfd, struct vu_stat *ret)
{
	struct vu_start start;
	int r = vu_starts_get(v->starts, tid, false, dirfd, &start);

	if (r)
		return r;
	int fd = fcntl(start.fd, F_DUPFD_CLOEXEC, 0);

	*ret = start.st;
	return fd < 0 ? -errno : fd;
}

int vu_view_resolve_dir(struct vu_view *v, pid_t tid, const struct vu_call_path *p,
			const char *text, enum vu_view_how how, char *base, struct vu_stat *ret_st)
{
	struct vu_call_path dir = {.dirfd = p->dirfd, .empty_self = true, .follow = true};
	char path[PATH_MAX];
	ssize_t len = vu_view_split(text, base);

	if (len < 0)
		return (int)len;
	memcpy(path, text, (size_t)len);
	path[len] = 0;
	_cleanup_fd_ int fd = len ? vu_view_resolve(v, tid, &dir, path, how, ret_st)
				  : open_start(v, tid, p->dirfd, ret_st);

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
	int r = enter(v, v->tid);

	if (!r)
		r = vu_stat_fd(fd, &st);
	if (r)
		return r;
	ssize_t n = vu_view_path(v, fd, path);

	if (n < 0)
		return (int)n;
	char *slash = strrchr(path, '/');

	if (*path != '/' || !slash[1] || strlen(slash + 1) > NAME_MAX)
		return -ENOENT;
	strcpy(base, slash + 1);
	*slash = 0;
	_cleanup_fd_ int dir = vu_walk_open(AT_FDCWD, *path ? path : "/", O_DIRECTORY,
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
