/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/inomap.h"

/* A directory as name_to_handle_at(2) gives it. */
struct handle {
	struct file_handle h;
	char room[MAX_HANDLE_SZ];
};

struct name {
	struct handle dir;
	char base[];
};

struct set {
	struct name **v; /* owned, the names too */
	uint32_t n, cap;
};

struct vu_names {
	int mount_fd;	  /* borrowed */
	const char *root; /* borrowed */
	pthread_mutex_t lock;
	struct vu_inomap by_ino; /* index in sets */
	struct set *sets;	 /* owned */
	uint32_t n, cap;
	uint64_t n_names; /* in all sets */
	uint32_t max;	  /* of them */
};

struct vu_names *vu_names_new(int mount_fd, const char *root, uint32_t max)
{
	struct vu_names *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->mount_fd = mount_fd;
	n->root = root;
	n->max = max;
	pthread_mutex_init(&n->lock, NULL);
	return n;
}

static void empty(struct set *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct set){0};
}

struct vu_names *vu_names_free(struct vu_names *n)
{
	if (!n)
		return NULL;
	for (uint32_t i = 0; i < n->n; i++)
		empty(&n->sets[i]);
	free(n->sets);
	vu_inomap_done(&n->by_ino);
	pthread_mutex_destroy(&n->lock);
	free(n);
	return NULL;
}

static int handle_of(int dir, struct handle *ret)
{
	int mount;

	*ret = (struct handle){.h.handle_bytes = MAX_HANDLE_SZ};
	return name_to_handle_at(dir, "", &ret->h, &mount, AT_EMPTY_PATH) ? -errno : 0;
}

static bool same_dir(const struct handle *a, const struct handle *b)
{
	return a->h.handle_type == b->h.handle_type && a->h.handle_bytes == b->h.handle_bytes &&
	       !memcmp(a->h.f_handle, b->h.f_handle, a->h.handle_bytes);
}

/* ---- the lock is held ---- */

static struct set *find(const struct vu_names *n, uint64_t ino)
{
	uint32_t i;

	return vu_inomap_get(&n->by_ino, ino, &i) ? &n->sets[i] : NULL;
}

static struct set *find_or_add(struct vu_names *n, uint64_t ino)
{
	struct set *s = find(n, ino);

	if (s)
		return s;
	if (n->n == n->cap) {
		uint32_t cap = n->cap ? 2 * n->cap : 64;

		s = reallocarray(n->sets, cap, sizeof(*s));
		if (!s)
			return NULL;
		n->sets = s;
		n->cap = cap;
	}
	if (vu_inomap_set(&n->by_ino, ino, n->n))
		return NULL;
	s = &n->sets[n->n++];
	*s = (struct set){0};
	return s;
}

static uint32_t index_of(const struct set *s, const struct handle *dir, const char *base)
{
	uint32_t i = 0;

	while (i < s->n && (strcmp(s->v[i]->base, base) || !same_dir(&s->v[i]->dir, dir)))
		i++;
	return i;
}

static int add(struct set *s, const struct handle *dir, const char *base)
{
	size_t size = strlen(base) + 1;

	if (index_of(s, dir, base) < s->n)
		return 0;
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? 2 * s->cap : 2;
		struct name **v = reallocarray(s->v, cap, sizeof(struct name *));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n] = malloc(sizeof(struct name) + size);
	if (!s->v[s->n])
		return -ENOMEM;
	s->v[s->n]->dir = *dir;
	memcpy(s->v[s->n]->base, base, size);
	s->n++;
	return 0;
}

/* ---- */

int vu_names_add(struct vu_names *n, uint64_t ino, int dir, const char *base)
{
	struct handle h;
	int r = handle_of(dir, &h);

	if (r)
		return r;
	pthread_mutex_lock(&n->lock);
	struct set *s = find_or_add(n, ino);
	uint32_t before = s ? s->n : 0;

	r = s ? add(s, &h, base) : -ENOMEM;
	n->n_names += s ? s->n - before : 0;
	pthread_mutex_unlock(&n->lock);
	return r;
}

bool vu_names_has_room(struct vu_names *n)
{
	pthread_mutex_lock(&n->lock);
	bool has = n->n_names < n->max;

	pthread_mutex_unlock(&n->lock);
	return has;
}

void vu_names_remove(struct vu_names *n, uint64_t ino, int dir, const char *base)
{
	struct handle h;

	if (handle_of(dir, &h))
		return;
	pthread_mutex_lock(&n->lock);
	struct set *s = find(n, ino);
	uint32_t i = s ? index_of(s, &h, base) : 0;

	if (s && i < s->n) {
		free(s->v[i]);
		s->v[i] = s->v[--s->n];
		n->n_names--;
	}
	if (s && !s->n)
		empty(s);
	pthread_mutex_unlock(&n->lock);
}

void vu_names_forget(struct vu_names *n, uint64_t ino)
{
	pthread_mutex_lock(&n->lock);
	struct set *s = find(n, ino);

	n->n_names -= s ? s->n : 0;
	if (s)
		empty(s);
	pthread_mutex_unlock(&n->lock);
}

/*
 * Where it is now, relative to the guest's root (the caller's). NULL with errno: there is no such directory in
 * the guest any more, or ENOMEM.
 */
static char *path_of(const struct vu_names *n, struct name *name)
{
	size_t len = strlen(n->root);
	char link[32], path[PATH_MAX], *text;
	_cleanup_fd_ int fd =
		open_by_handle_at(n->mount_fd, &name->dir.h, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t got = readlink(link, path, sizeof(path) - 1);

	path[VU_MAX(got, 0)] = 0;
	if (strncmp(path, n->root, len) || (path[len] && path[len] != '/'))
		return errno = ENOENT, NULL;
	const char *rel = path + len + (path[len] == '/');

	if (asprintf(&text, "%s%s%s", rel, *rel ? "/" : "", name->base) < 0)
		return errno = ENOMEM, NULL;
	return text;
}

static int copy_names(const struct vu_names *names, const struct set *s, const char *path,
		      const char **v, uint32_t *n)
{
	v[0] = strdup(path);
	*n = v[0] ? 1 : 0;
	for (uint32_t i = 0; *n && s && i < s->n; i++) {
		char *other = path_of(names, s->v[i]);

		if (!other && errno == ENOMEM)
			return -ENOMEM;
		if (other && strcmp(other, path))
			v[(*n)++] = other;
		else
			free(other);
	}
	return *n ? 0 : -ENOMEM;
}

int vu_names_list(struct vu_names *n, uint64_t ino, const char *path, const char ***ret,
		  uint32_t *ret_n)
{
	pthread_mutex_lock(&n->lock);
	const struct set *s = find(n, ino);
	const char **v = calloc((s ? (size_t)s->n : 0) + 1, sizeof(*v));
	uint32_t count = 0;
	int r = v ? copy_names(n, s, path, v, &count) : -ENOMEM;

	pthread_mutex_unlock(&n->lock);
	if (r) {
		vu_names_list_free(v, count);
		return r;
	}
	*ret = v;
	*ret_n = count;
	return 0;
}

void vu_names_list_free(const char **list, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		free((void *)(uintptr_t)list[i]);
	free(list);
}
