/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line of /proc/PID/cgroup is "ID:CONTROLLERS:PATH"; of cgroup v2 "0::PATH".
 *
 * The cgroup of a guest is taken as high up as nobody else is below it, as what its dead processes have left
 * is charged there. Which processes there are is asked once, of the whole host: those that are not the guests'
 * tell where others are.
 */
#include "guest/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Where cgroup2 is mounted: alone, or beside cgroup v1. */
static const char *const tops[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

/* ---- paths ---- */

/* The path of a line, if it is of the hierarchy. */
static char *path_of_line(char *line, const char *hierarchy)
{
	char *p = strchr(line, ':'), *path = p ? strchr(p + 1, ':') : NULL, *word;

	if (!path || path[1] != '/')
		return NULL;
	*p++ = 0;
	*path++ = 0;
	if (!*hierarchy)
		return !strcmp(line, "0") && !*p ? path : NULL;
	while ((word = strsep(&p, ",")))
		if (!strcmp(word, hierarchy))
			return path;
	return NULL;
}

char *vu_cgroup_path(int task_fd, const char *hierarchy)
{
	_cleanup_fd_ int fd = openat(task_fd, "cgroup", O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	const char *path = NULL;

	if (!f)
		return errno == ENOENT || errno == ESRCH ? NULL : strdup("/");
	fd = -EBADF;
	errno = 0;
	while (!path && getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = 0;
		path = path_of_line(line, hierarchy);
	}
	return path || !ferror(f) ? strdup(path ? path : "/") : NULL;
}

int vu_cgroup_open_top(void)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(tops); i++) {
		int fd = open(tops[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct statfs s;

		if (fd >= 0 && !fstatfs(fd, &s) && s.f_type == CGROUP2_SUPER_MAGIC)
			return fd;
		vu_close_p(&fd);
	}
	return -ENOENT;
}

void vu_cgroup_common(char *a, const char *b)
{
	size_t i = 0, end = 0;

	for (; a[i] && a[i] == b[i]; i++)
		if (a[i] == '/')
			end = i;
	/* one is the other, or stands right above it */
	if ((!a[i] && (!b[i] || b[i] == '/')) || (!b[i] && a[i] == '/'))
		end = i;
	a[end ? end : 1] = 0;
}

bool vu_cgroup_is_below(const char *path, const char *above)
{
	size_t n = strlen(above);

	return !above[1] || (!strncmp(path, above, n) && (!path[n] || path[n] == '/'));
}

/* systemd.unit(5): "consists of ASCII letters, digits, and the characters ":-_.\\", at most 255 bytes", and '@'. */
static bool is_unit(const char *name, size_t n)
{
	static const char *const types[] = {".service", ".scope", ".socket", ".mount", ".swap"};

	if (n >= VU_CGROUP_UNIT_MAX || *name == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@",
			    name[i]))
			return false;
	for (size_t i = 0; i < VU_ARRAY_SIZE(types); i++) {
		size_t t = strlen(types[i]);

		if (n > t && !strncmp(name + n - t, types[i], t))
			return true;
	}
	return false;
}

bool vu_cgroup_unit(const char *path, char unit[VU_CGROUP_UNIT_MAX])
{
	bool found = false;

	for (const char *p = path; *p;) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n && is_unit(p, n)) {
			memcpy(unit, p, n);
			unit[n] = 0;
			found = true;
		}
		p += n;
	}
	return found;
}

/* ---- charges ---- */

struct member {
	size_t root; /* n_roots: of the host */
	char *path;  /* owned */
};

struct charging {
	const char *hierarchy;
	struct member *v; /* owned */
	size_t n, cap;
	int top;
	bool v1;
};

static int add_member(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct charging *c = arg;
	char *path = vu_cgroup_path(task_fd, c->hierarchy);

	(void)pid;
	if (!path)
		return errno == ENOMEM ? -ENOMEM : 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 64;
		struct member *v = reallocarray(c->v, cap, sizeof(*v));

		if (!v) {
			free(path);
			return -ENOMEM;
		}
		c->v = v;
		c->cap = cap;
	}
	c->v[c->n++] = (struct member){root, path};
	return 0;
}

/* Is nobody at or below the path but this guest? */
static bool is_pure(const struct charging *c, const char *path, size_t root)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].root != root && vu_cgroup_is_below(c->v[i].path, path))
			return false;
	return path[1];
}

/* "name 123" and a newline: the number, or 0. */
static uint64_t field(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, name, n) && p[n] == ' ')
			return strtoull(p + n, NULL, 10);
	}
	return 0;
}

static int read_text(int dir, const char *name, char *buf, size_t size)
{
	_cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = 0;
	return 0;
}

/* Adds what the cgroup is charged. False if that cannot be read. */
static bool add_charge(const struct charging *c, const char *path, struct vu_charge *ret)
{
	_cleanup_fd_ int dir = openat(c->top, path + 1, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char now[64] = "", stat[16384] = "";

	if (dir < 0 ||
	    read_text(dir, c->v1 ? "memory.usage_in_bytes" : "memory.current", now, sizeof(now)) ||
	    read_text(dir, "memory.stat", stat, sizeof(stat)))
		return false;
	ret->all += strtoull(now, NULL, 10);
	ret->file += field(stat, c->v1 ? "total_cache" : "file");
	ret->mapped += field(stat, c->v1 ? "total_mapped_file" : "file_mapped");
	ret->anon += field(stat, c->v1 ? "total_rss" : "anon");
	return true;
}

/* The highest path at or above this one that is the guest's alone, written over it; false: none is. */
static bool climb(const struct charging *c, char *path, size_t root)
{
	char *slash;

	if (strstr(path, "/..") || !is_pure(c, path, root))
		return false;
	while ((slash = strrchr(path, '/')) && slash > path) {
		*slash = 0;
		if (!is_pure(c, path, root)) {
			*slash = '/';
			break;
		}
	}
	return true;
}

/* Was it counted with one before? Those are climbed to the top already. */
static bool is_counted(const struct charging *c, size_t end, size_t root, const char *path)
{
	for (size_t i = 0; i < end; i++)
		if (c->v[i].root == root && vu_cgroup_is_below(path, c->v[i].path))
			return true;
	return false;
}

static void charge_guest(struct charging *c, size_t root, struct vu_charge *ret)
{
	ret->known = false;
	for (size_t i = 0; i < c->n; i++) {
		char *path = c->v[i].path;

		if (c->v[i].root != root)
			continue;
		ret->known = is_counted(c, i, root, path) ||
			     (climb(c, path, root) && add_charge(c, path, ret));
		if (!ret->known)
			break;
	}
}

/* cgroup v2 where it has the memory, else v1. */
static int open_hierarchy(struct charging *c)
{
	char controllers[1024];

	c->top = vu_cgroup_open_top();
	if (c->top >= 0 &&
	    !read_text(c->top, "cgroup.controllers", controllers, sizeof(controllers)) &&
	    strstr(controllers, "memory"))
		return 0;
	vu_close_p(&c->top);
	c->hierarchy = "memory";
	c->v1 = true;
	c->top = open("/sys/fs/cgroup/memory", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return c->top < 0 ? -errno : 0;
}

int vu_cgroup_charges(const struct vu_procs_root *roots, size_t n, struct vu_charge *ret)
{
	_cleanup_free_ struct vu_procs_root *all = calloc(n + 1, sizeof(*all));
	struct charging c = {.hierarchy = "", .top = -EBADF};
	struct stat st;
	int r = 0;

	memset(ret, 0, n * sizeof(*ret));
	if (!all)
		return -ENOMEM;
	if (open_hierarchy(&c)) /* nobody counts memory here */
		return 0;
	memcpy(all, roots, n * sizeof(*all));
	if (stat("/", &st))
		r = -errno;
	/* if a guest is the host itself, it stands before this one and is found first */
	all[n] = (struct vu_procs_root){.dev = st.st_dev, .ino = st.st_ino};
	if (!r)
		r = vu_procs_each(all, n + 1, add_member, &c);
	for (size_t i = 0; !r && i < n; i++)
		charge_guest(&c, i, &ret[i]);
	for (size_t i = 0; i < c.n; i++)
		free(c.v[i].path);
	free(c.v);
	vu_close_p(&c.top);
	return r;
}
