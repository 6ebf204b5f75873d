/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/proc-walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/stat.h"

#define LINKS_MAX 40 /* symlinks in one path, as in the kernel */

int vu_walk_open(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags | O_PATH | O_CLOEXEC, .resolve = resolve};
	long fd;

	/* EAGAIN: a rename went on meanwhile, and what ".." is cannot be told; or it is not in the cache */
	for (int i = 0; i < 8; i++) {
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN || resolve & RESOLVE_CACHED)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

/* The parts of a path that are still to be walked, with the links in it put in. */
struct walk {
	int proc; /* the host's */
	int *descriptor;
	pid_t tid;
	int at; /* owned; where it has come to */
	char rest[2 * PATH_MAX];
	unsigned n_links;
	bool follow; /* the last one too */
	bool dir;    /* it ends in a slash: only a directory may be there */
};

bool vu_walk_is_proc(int fd)
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
	_cleanup_fd_ int fd = openat(w->proc, path, O_RDONLY | O_CLOEXEC);

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
	int fd = vu_walk_open(AT_FDCWD, "/", 0, 0);

	if (fd < 0)
		return fd;
	move_to(w, fd);
	return 0;
}

static bool is_magic(int dir, const char *name)
{
	_cleanup_fd_ int fd = vu_walk_open(dir, name, 0, RESOLVE_NO_MAGICLINKS);

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
	if (vu_walk_is_proc(w->at) && (!strcmp(name, "self") || !strcmp(name, "thread-self"))) {
		int r = put_number(w, name, text, sizeof(text));

		return r ? r : put_link(w, text, rest);
	}
	n = readlinkat(link, "", text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	if (!vu_walk_is_proc(link) || !is_magic(w->at, name))
		return put_link(w, text, rest);
	/* it leads to what it stands for, not to what it says */
	int fd = vu_walk_open(w->at, name, 0, 0);

	if (fd < 0)
		return fd;
	if (!*rest)
		*w->descriptor = descriptor_of(name);
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
	_cleanup_fd_ int fd =
		vu_walk_open(w->at, len ? name : ".", O_NOFOLLOW, RESOLVE_NO_MAGICLINKS);

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

int vu_walk(int proc, pid_t tid, int start, const char *text, bool follow, int *ret_descriptor)
{
	struct walk *w = calloc(1, sizeof(*w));
	int r = 0;

	if (!w)
		return -ENOMEM;
	*w = (struct walk){
		.proc = proc, .descriptor = ret_descriptor, .tid = tid, .follow = follow};
	w->at = start == AT_FDCWD ? vu_walk_open(AT_FDCWD, "/", 0, 0) : dup(start);
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
