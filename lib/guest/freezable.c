/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cgroup of a guest is taken as high up as nobody else is below it: then also what the guest makes
 * next to its processes' cgroups (a service that is started meanwhile) is frozen with it. Where its
 * processes have no cgroup in common that is theirs alone, each of theirs is looked at by itself.
 *
 * cgroup.procs shows the processes of one directory (Linux 6.18: none of kernel threads' and of the dead;
 * in a threaded subtree it cannot be read, and such a guest is not frozen). One that is not known was
 * started since /proc was read, or is somebody else's: its root tells.
 */
#include "guest/freezable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guest/cgroup.h"

struct member {
	size_t root;
	pid_t pid;
	char *path; /* owned; of its cgroup, "/a/b" */
};

struct looking {
	const struct vu_procs_root *roots;
	size_t n_roots;
	struct member *v; /* owned; sorted by pid once all are there */
	size_t n, cap;
	int top; /* owned */
	struct vu_freezable *ret;
};

/* ---- members ---- */

static int add_member(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct looking *l = arg;
	char *path = vu_cgroup_path(task_fd, "");

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct member *v = reallocarray(l->v, cap, sizeof(*v));

		if (!v) {
			free(path);
			return -ENOMEM;
		}
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = (struct member){.root = root, .pid = pid, .path = path};
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	pid_t x = ((const struct member *)a)->pid, y = ((const struct member *)b)->pid;

	return (x > y) - (x < y);
}

static int note_root(void *arg, size_t root, pid_t pid, int task_fd)
{
	(void)pid;
	(void)task_fd;
	*(size_t *)arg = root;
	return 0;
}

/* Does the process belong to the guest, or is it gone? */
static bool belongs(const struct looking *l, pid_t pid, size_t root)
{
	const struct member *m =
		bsearch(&(struct member){.pid = pid}, l->v, l->n, sizeof(*l->v), by_pid);
	size_t found = SIZE_MAX;

	if (m)
		return m->root == root;
	return !vu_procs_one(l->roots, l->n_roots, pid, note_root, &found) && found == root;
}

/* ---- cgroups ---- */

static int open_cgroup(const struct looking *l, const char *path)
{
	if (strstr(path, "/.."))
		return -ENOENT;
	int fd = openat(l->top, path[1] ? path + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Levels below a cgroup that are looked at: each takes descriptors and memory, and a guest may make thousands. */
#define LEVELS_MAX 64

static bool is_pure(const struct looking *l, int dir, size_t root, unsigned levels);

static bool has_pure_children(const struct looking *l, int dir, size_t root, unsigned levels)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d)
		return fd >= 0 && (close(fd), false);
	while ((e = readdir(d))) {
		/* a cgroup's name may begin with a dot, too */
		if (e->d_type != DT_DIR || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		_cleanup_fd_ int child = openat(dirfd(d), e->d_name,
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (child < 0 ? errno != ENOENT : !levels || !is_pure(l, child, root, levels - 1))
			return false;
	}
	return true;
}

/* Does the subtree hold processes of this guest alone, and is it not too deep to be told? */
static bool is_pure(const struct looking *l, int dir, size_t root, unsigned levels)
{
	_cleanup_fd_ int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	int pid, n = 0;

	if (!f)
		return false;
	fd = -EBADF;
	/* 0: of a PID namespace that cannot be seen from here */
	while ((n = fscanf(f, "%d", &pid)) == 1)
		if (pid <= 0 || !belongs(l, (pid_t)pid, root))
			return false;
	return n == EOF && !ferror(f) && has_pure_children(l, dir, root, levels);
}

/* The open directory if it is the guest's alone; or a negative errno. */
static int open_pure(const struct looking *l, const char *path, size_t root)
{
	_cleanup_fd_ int fd = strcmp(path, "/") ? open_cgroup(l, path) : -EPERM;

	if (fd >= 0 && !is_pure(l, fd, root, LEVELS_MAX))
		return -EPERM;
	return vu_take_fd(fd);
}

static int add_dir(struct vu_freezable *ret, int dir)
{
	int *dirs = reallocarray(ret->dirs, ret->n + 1, sizeof(*dirs));

	if (!dirs) {
		close(dir);
		return -ENOMEM;
	}
	ret->dirs = dirs;
	dirs[ret->n++] = dir;
	return 0;
}

/* As high above path, whose directory is given, as the guest is alone. Consumes dir. */
static int add_highest(struct looking *l, char *path, size_t root, int dir)
{
	char *slash;

	while ((slash = strrchr(path, '/')) && slash > path) {
		*slash = 0;
		int above = open_pure(l, path, root);

		if (above < 0)
			break;
		close(dir);
		dir = above;
	}
	return add_dir(l->ret, dir);
}

static void cannot(struct looking *l, const struct member *m, const char *why)
{
	if (!l->ret->all)
		return;
	l->ret->all = false;
	l->ret->root = m->root;
	l->ret->pid = m->pid;
	l->ret->why = why;
}

/* Is it the first of the guest's in this cgroup, with none above it that has one of its as well? */
static bool is_topmost(const struct looking *l, const struct member *m)
{
	for (const struct member *o = l->v; o < l->v + l->n; o++) {
		if (o == m || o->root != m->root || !o->path)
			continue;
		size_t len = strlen(o->path);

		if (!strcmp(o->path, m->path)
			    ? o < m
			    : !strncmp(o->path, m->path, len) && (m->path[len] == '/' || len == 1))
			return false;
	}
	return true;
}

static int add_each(struct looking *l, size_t root)
{
	int r = 0;

	for (size_t i = 0; !r && i < l->n; i++) {
		const struct member *m = &l->v[i];

		if (m->root != root || !m->path || !is_topmost(l, m))
			continue;
		int dir = open_pure(l, m->path, root);

		if (dir == -ENOENT) /* it has ended */
			continue;
		if (dir < 0)
			cannot(l, m, "its cgroup holds processes of the host or of another guest");
		else
			r = add_dir(l->ret, dir);
	}
	return r;
}

static int add_guest(struct looking *l, size_t root)
{
	_cleanup_free_ char *common = NULL;
	bool any = false;

	for (size_t i = 0; i < l->n; i++) {
		const struct member *m = &l->v[i];

		if (m->root != root)
			continue;
		any = true;
		if (!m->path)
			continue;
		if (common)
			vu_cgroup_common(common, m->path);
		else if (!(common = strdup(m->path)))
			return -ENOMEM;
	}
	l->ret->n_running += any;
	if (!common)
		return 0;
	int dir = open_pure(l, common, root);

	return dir < 0 ? add_each(l, root) : add_highest(l, common, root, dir);
}

int vu_freezable_look(const struct vu_procs_root *roots, size_t n, struct vu_freezable *ret)
{
	struct looking l = {.roots = roots, .n_roots = n, .top = -EBADF, .ret = ret};

	*ret = (struct vu_freezable){.all = true};
	int r = vu_procs_each(roots, n, add_member, &l);

	if (!r && l.n) {
		qsort(l.v, l.n, sizeof(*l.v), by_pid);
		l.top = vu_cgroup_open_top();
		if (l.top < 0)
			cannot(&l, &l.v[0], "there is no cgroup v2");
	}
	for (size_t i = 0; !r && l.top >= 0 && i < n; i++)
		r = add_guest(&l, i);
	for (size_t i = 0; i < l.n; i++)
		free(l.v[i].path);
	free(l.v);
	vu_close_p(&l.top);
	if (r)
		vu_freezable_done(ret);
	return r;
}

void vu_freezable_done(struct vu_freezable *f)
{
	for (size_t i = 0; i < f->n; i++)
		close(f->dirs[i]);
	free(f->dirs);
	*f = (struct vu_freezable){0};
}
