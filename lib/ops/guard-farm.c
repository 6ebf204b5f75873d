/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/guard-farm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/mount.h"
#include "ops/cow-mark.h"
#include "ops/ops-guests.h"

#define READ_MS 2000   /* between two looks into the catalog for a guest that is not known */
#define AGAIN_MS 60000 /* between two without a reason */

struct mounted {
	char *point; /* owned; ends without a slash: "" for "/" */
	char *top;   /* owned; what is mounted there, from the top of the file system: the same */
};

struct home {
	size_t mount;
	char *top; /* owned; the guest's root from the top of its file system, without slashes at its ends */
	char *root; /* owned; as the catalog has it */
	int mark;   /* owned; says that the guest has copy-on-write (ops/cow-mark.h) */
};

struct vu_guard_farm {
	const struct vu_ops *ops; /* borrowed */
	struct mounted *mounts;	  /* owned */
	size_t n_mounts;
	struct home *homes; /* owned */
	size_t n_homes;
	int64_t read_ms;
	bool was_read;
};

VU_DEFINE_CLEANUP_DONE(struct vu_guests, vu_guests_done)
VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)

int vu_guard_farm_new(const struct vu_ops *ops, struct vu_guard_farm **ret)
{
	struct vu_guard_farm *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->ops = ops;
	*ret = f;
	return 0;
}

static void drop_homes(struct vu_guard_farm *f)
{
	for (size_t i = 0; i < f->n_homes; i++) {
		free(f->homes[i].top);
		free(f->homes[i].root);
		vu_close_p(&f->homes[i].mark);
	}
	free(f->homes);
	f->homes = NULL;
	f->n_homes = 0;
}

struct vu_guard_farm *vu_guard_farm_free(struct vu_guard_farm *f)
{
	if (!f)
		return NULL;
	drop_homes(f);
	for (size_t i = 0; i < f->n_mounts; i++) {
		free(f->mounts[i].point);
		free(f->mounts[i].top);
	}
	free(f->mounts);
	free(f);
	return NULL;
}

static void cut_slash(char *path)
{
	size_t n = strlen(path);

	if (n && path[n - 1] == '/')
		path[n - 1] = 0;
}

int vu_guard_farm_add(struct vu_guard_farm *f, const char *point)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};
	_cleanup_fd_ int fd = open(point, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct mounted *v = reallocarray(f->mounts, f->n_mounts + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	f->mounts = v;
	if (fd < 0)
		return -errno;
	int r = vu_mount_where(fd, &m);

	if (r)
		return r;
	cut_slash(m.point);
	cut_slash(m.root);
	v[f->n_mounts].point = vu_take_ptr(m.point);
	v[f->n_mounts].top = vu_take_ptr(m.root);
	f->n_mounts++;
	return 0;
}

/* What of a path is below a directory: NULL where it is not. */
static const char *below(const char *dir, const char *path)
{
	size_t n = strlen(dir);

	return !strncmp(dir, path, n) && path[n] == '/' && path[n + 1] ? path + n + 1 : NULL;
}

/* A guest may be reached by one of the mounts; one that is gone is on none. */
static int add_home(struct vu_guard_farm *f, const char *root)
{
	_cleanup_free_ char *real = realpath(root, NULL);

	for (size_t i = 0; real && i < f->n_mounts; i++) {
		const struct mounted *m = &f->mounts[i];
		const char *rel = below(m->point, real);
		struct home h = {.mount = i};

		if (!rel)
			continue;
		struct home *v = reallocarray(f->homes, f->n_homes + 1, sizeof(*v));

		if (!v)
			return -ENOMEM;
		f->homes = v;
		if (asprintf(&h.top, "%s/%s", m->top, rel) < 0)
			return -ENOMEM;
		h.root = strdup(root);
		h.mark = vu_cow_mark_take(f->ops->config->lock_dir, root, "vunify cowd --lsm");
		memmove(h.top, h.top + (*h.top == '/'), strlen(h.top + (*h.top == '/')) + 1);
		v[f->n_homes++] = h;
		if (!h.root)
			return -ENOMEM;
	}
	return 0;
}

static int read_homes(struct vu_guard_farm *f)
{
	vu_cleanup(vu_guests_done_p) struct vu_guests guests = {0};
	struct vu_problem problem = {0};
	struct vu_ops ops = *f->ops;

	/* what is wrong with the catalog is for who needs it */
	ops.problem = &problem;
	f->read_ms = vu_clock_ms();
	f->was_read = true;
	int r = vu_ops_guests_list(&ops, &guests);

	vu_problem_done(&problem);
	if (r)
		return r < 0 ? r : 0;
	drop_homes(f);
	for (size_t i = 0; !r && i < guests.n; i++)
		r = add_home(f, guests.v[i].path);
	return r;
}

int vu_guard_farm_look(struct vu_guard_farm *f)
{
	return f->was_read && vu_clock_ms() < f->read_ms + AGAIN_MS ? 0 : read_homes(f);
}

char *vu_guard_farm_path(const struct vu_ask *ask)
{
	char *path = malloc((size_t)ask->length + 1), *at = path;
	size_t end = ask->length;

	if (!path || !end || ask->length > VU_ASK_PATH) {
		free(path);
		return NULL;
	}
	/* from the last name, which is the topmost */
	while (end) {
		size_t begin = end - 1;

		while (begin && ask->path[begin - 1])
			begin--;
		size_t n = strnlen(ask->path + begin, end - begin);

		if (at > path)
			*at++ = '/';
		memcpy(at, ask->path + begin, n);
		at += n;
		end = begin;
	}
	*at = 0;
	return path;
}

/* A guest may lie in another one's tree: then the nearer one has it. */
static const struct home *find_home(const struct vu_guard_farm *f, size_t mount, const char *path)
{
	const struct home *best = NULL;

	for (size_t i = 0; i < f->n_homes; i++) {
		const struct home *h = &f->homes[i];

		if (h->mount == mount && h->root && below(h->top, path) &&
		    (!best || strlen(h->top) > strlen(best->top)))
			best = h;
	}
	return best;
}

int vu_guard_farm_find(struct vu_guard_farm *f, size_t mount, const struct vu_ask *ask,
		       char **ret_root, char **ret_path)
{
	_cleanup_free_ char *path = vu_guard_farm_path(ask), *root = NULL;
	const struct home *h = path ? find_home(f, mount, path) : NULL;
	int r = 0;

	if (path && !h && (!f->was_read || vu_clock_ms() > f->read_ms + READ_MS)) {
		r = read_homes(f);
		h = r ? NULL : find_home(f, mount, path);
	}
	if (r || !path || !h)
		return r ? r : path ? -ENOENT : -ENOMEM;
	root = strdup(h->root);
	char *rel = strdup(below(h->top, path));

	if (!root || !rel) {
		free(rel);
		return -ENOMEM;
	}
	*ret_root = vu_take_ptr(root);
	*ret_path = rel;
	return 0;
}
