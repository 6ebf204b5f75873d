/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest/discovery.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

void vu_discovery_done(struct vu_discovery *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->v[i].name);
		free(d->v[i].path);
		free(d->v[i].type);
	}
	free(d->v);
	*d = (struct vu_discovery){0};
}

static void trouble(const struct vu_discovery *d, const char *path, int err)
{
	if (d->trouble && err != -ENOENT && err != -ENOTDIR)
		d->trouble(d->arg, path, err);
}

/* All is copied; type may be NULL. */
static int add(struct vu_discovery *d, const char *tool, const char *name, const char *path,
	       const char *type)
{
	struct vu_discovered *v = reallocarray(d->v, d->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	d->v = v;
	v[d->n] = (struct vu_discovered){
		.tool = tool,
		.name = strdup(name),
		.path = strdup(path),
		.type = type ? strdup(type) : NULL,
	};
	d->n++;
	return v[d->n - 1].name && v[d->n - 1].path && (!type || v[d->n - 1].type) ? 0 : -ENOMEM;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* ---- directories ---- */

static int is_visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* Calls fn for each name in a directory, in order. One that is not there has none. */
static int each_name(const struct vu_discovery *d, const char *dir,
		     int (*fn)(void *arg, const char *dir, const char *name), void *arg)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_visible, alphasort), r = 0;

	if (n < 0 && errno == ENOMEM)
		return -ENOMEM;
	if (n < 0)
		trouble(d, dir, -errno);
	for (int i = 0; i < n; i++) {
		if (!r)
			r = fn(arg, dir, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return r;
}

/* Directories that are roots themselves, or hold them under below. */
struct roots {
	struct vu_discovery *d;
	const char *tool;
	const char *below; /* "" or "/rootfs" */
};

static int on_root(void *arg, const char *dir, const char *name)
{
	const struct roots *r = arg;
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s%s", dir, name, r->below) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return is_dir(path) ? add(r->d, r->tool, name, path, NULL) : 0;
}

static int find_roots(struct vu_discovery *d, const char *tool, const char *dir, const char *below)
{
	struct roots r = {.d = d, .tool = tool, .below = below};

	return each_name(d, dir, on_root, &r);
}

static int on_pool(void *arg, const char *dir, const char *name)
{
	const struct roots *r = arg;
	_cleanup_free_ char *containers = NULL;

	if (asprintf(&containers, "%s/%s/containers", dir, name) < 0) {
		containers = NULL;
		return -ENOMEM;
	}
	return find_roots(r->d, r->tool, containers, "/rootfs");
}

/* Storage pools of Incus and LXD. */
static int find_in_pools(struct vu_discovery *d, const char *tool, const char *dir)
{
	struct roots r = {.d = d, .tool = tool};

	return each_name(d, dir, on_pool, &r);
}

/* ---- configurations ---- */

/* Without blanks around it, in place. */
static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t\r");
	n = strlen(s);
	while (n && strchr(" \t\r\n", s[n - 1]))
		s[--n] = 0;
	return s;
}

/*
 * Calls fn for each "KEY = VALUE", and for each "[SECTION]" with value NULL. A file that is not there has none.
 * Returns 0, what fn returned, or -ENOMEM; what cannot be read is told.
 */
static int each_setting(const struct vu_discovery *d, const char *file,
			int (*fn)(void *arg, const char *key, const char *value), void *arg)
{
	int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	int r = 0;

	if (!f) {
		r = fd < 0 ? -errno : vu_close_failed_consume(fd);
		trouble(d, file, r);
		return r == -ENOMEM ? r : 0;
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > VU_DISCOVERY_CONFIG_MAX) {
		trouble(d, file, -EFBIG);
		return 0;
	}
	while (!r && getline(&line, &cap, f) > 0) {
		char *s = trim(line), *equals = strchr(s, '='), *end = strchr(s, ']');

		if (*s == '#')
			continue;
		if (*s == '[' && end) {
			*end = 0;
			r = fn(arg, s + 1, NULL);
		} else if (equals) {
			*equals = 0;
			r = fn(arg, trim(s), trim(equals + 1));
		}
	}
	return r;
}

static int replace(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

/* ---- LXC ---- */

static int on_lxc_conf(void *arg, const char *key, const char *value)
{
	return value && *value && !strcmp(key, "lxc.lxcpath") ? replace(arg, value) : 0;
}

static int on_lxc_container(void *arg, const char *key, const char *value)
{
	return value && *value && (!strcmp(key, "lxc.rootfs.path") || !strcmp(key, "lxc.rootfs"))
		       ? replace(arg, value)
		       : 0;
}

/*
 * "dir:/path", "/path", "btrfs:/path", "overlay:/lower:/upper", "zfs:pool/name", "/dev/vg/lv", ... : the directory, and
 * what is in its place when the guest runs.
 */
static int add_lxc(struct vu_discovery *d, const char *name, char *rootfs)
{
	char *colon = *rootfs == '/' ? NULL : strchr(rootfs, ':');
	const char *path = colon ? colon + 1 : rootfs, *type = NULL;

	if (colon) {
		*colon = 0;
		if (strcmp(rootfs, "dir") != 0 && strcmp(rootfs, "btrfs") != 0)
			type = rootfs;
	}
	if (!type && !strncmp(path, "/dev/", 5))
		type = "block device";
	return add(d, "lxc", name, path, type);
}

static int on_lxc(void *arg, const char *dir, const char *name)
{
	struct vu_discovery *d = arg;
	_cleanup_free_ char *config = NULL, *rootfs = NULL;
	int r;

	if (asprintf(&config, "%s/%s/config", dir, name) < 0) {
		config = NULL;
		return -ENOMEM;
	}
	r = each_setting(d, config, on_lxc_container, &rootfs);
	if (r || rootfs)
		return r ? r : add_lxc(d, name, rootfs);
	if (asprintf(&rootfs, "%s/%s/rootfs", dir, name) < 0) {
		rootfs = NULL;
		return -ENOMEM;
	}
	return is_dir(rootfs) ? add(d, "lxc", name, rootfs, NULL) : 0;
}

static int find_lxc(struct vu_discovery *d)
{
	_cleanup_free_ char *lxcpath = strdup("/var/lib/lxc");
	int r = lxcpath ? each_setting(d, "/etc/lxc/lxc.conf", on_lxc_conf, &lxcpath) : -ENOMEM;

	return r ? r : each_name(d, lxcpath, on_lxc, d);
}

/* ---- schroot ---- */

struct schroot {
	struct vu_discovery *d;
	char *name, *type, *directory; /* owned; of the section at hand */
};

/* The section is complete. */
static int schroot_end(struct schroot *s)
{
	bool is_tree = s->name && s->directory &&
		       (!s->type || !strcmp(s->type, "plain") || !strcmp(s->type, "directory"));
	int r = is_tree ? add(s->d, "schroot", s->name, s->directory, NULL) : 0;

	free(s->name);
	free(s->type);
	free(s->directory);
	*s = (struct schroot){.d = s->d};
	return r;
}

static int on_schroot(void *arg, const char *key, const char *value)
{
	struct schroot *s = arg;
	int r;

	if (!value) {
		r = schroot_end(s);
		return r ? r : replace(&s->name, key);
	}
	if (!strcmp(key, "type"))
		return replace(&s->type, value);
	return strcmp(key, "directory") ? 0 : replace(&s->directory, value);
}

static int find_schroot_in(struct vu_discovery *d, const char *file)
{
	struct schroot s = {.d = d};
	int r = each_setting(d, file, on_schroot, &s), e = schroot_end(&s);

	return r ? r : e;
}

/* As schroot(1) itself reads it: names that editors and dpkg leave are none. */
static int on_schroot_file(void *arg, const char *dir, const char *name)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	_cleanup_free_ char *file = NULL;

	if (name[strspn(name, ok)])
		return 0;
	if (asprintf(&file, "%s/%s", dir, name) < 0) {
		file = NULL;
		return -ENOMEM;
	}
	return find_schroot_in(arg, file);
}

static int find_schroot(struct vu_discovery *d)
{
	int r = find_schroot_in(d, "/etc/schroot/schroot.conf");

	return r ? r : each_name(d, "/etc/schroot/chroot.d", on_schroot_file, d);
}

/* ---- */

int vu_discovery_run(struct vu_discovery *d)
{
	static const struct {
		const char *tool, *dir, *below;
	} plain[] = {
		{"machined", "/var/lib/machines", ""},
		{"podman", "/var/lib/containers/storage/vfs/dir", ""},
		{"docker", "/var/lib/docker/vfs/dir", ""},
		{"vserver", "/vservers", ""},
		{"vserver", "/var/lib/vservers", ""},
	};
	int r = find_lxc(d);

	if (!r)
		r = find_in_pools(d, "incus", "/var/lib/incus/storage-pools");
	if (!r)
		r = find_in_pools(d, "lxd", "/var/lib/lxd/storage-pools");
	if (!r)
		r = find_in_pools(d, "lxd", "/var/snap/lxd/common/lxd/storage-pools");
	for (size_t i = 0; !r && i < VU_ARRAY_SIZE(plain); i++)
		r = find_roots(d, plain[i].tool, plain[i].dir, plain[i].below);
	return r ? r : find_schroot(d);
}
