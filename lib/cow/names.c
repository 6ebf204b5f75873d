/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/names.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/inomap.h"

struct set {
	char **v; /* owned, the strings too */
	uint32_t n, cap;
};

struct vu_names {
	pthread_mutex_t lock;
	struct vu_inomap by_ino; /* index in sets */
	struct set *sets;	 /* owned */
	uint32_t n, cap;
};

struct vu_names *vu_names_new(void)
{
	struct vu_names *n = calloc(1, sizeof(*n));

	if (n)
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

static uint32_t index_of(const struct set *s, const char *path)
{
	uint32_t i = 0;

	while (i < s->n && strcmp(s->v[i], path))
		i++;
	return i;
}

static int add(struct set *s, const char *path)
{
	if (index_of(s, path) < s->n)
		return 0;
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? 2 * s->cap : 2;
		char **v = reallocarray(s->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n] = strdup(path);
	return s->v[s->n] ? (s->n++, 0) : -ENOMEM;
}

/* ---- */

int vu_names_add(struct vu_names *n, uint64_t ino, const char *path)
{
	pthread_mutex_lock(&n->lock);
	struct set *s = find_or_add(n, ino);
	int r = s ? add(s, path) : -ENOMEM;

	pthread_mutex_unlock(&n->lock);
	return r;
}

void vu_names_remove(struct vu_names *n, uint64_t ino, const char *path)
{
	pthread_mutex_lock(&n->lock);
	struct set *s = find(n, ino);
	uint32_t i = s ? index_of(s, path) : 0;

	if (s && i < s->n) {
		free(s->v[i]);
		s->v[i] = s->v[--s->n];
	}
	if (s && !s->n)
		empty(s);
	pthread_mutex_unlock(&n->lock);
}

void vu_names_forget(struct vu_names *n, uint64_t ino)
{
	pthread_mutex_lock(&n->lock);
	struct set *s = find(n, ino);

	if (s)
		empty(s);
	pthread_mutex_unlock(&n->lock);
}

static int copy_names(const struct set *s, const char *path, const char **v, uint32_t *n)
{
	v[0] = strdup(path);
	*n = v[0] ? 1 : 0;
	for (uint32_t i = 0; *n && s && i < s->n; i++) {
		if (!strcmp(s->v[i], path))
			continue;
		v[*n] = strdup(s->v[i]);
		if (!v[*n])
			return -ENOMEM;
		++*n;
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
	int r = v ? copy_names(s, path, v, &count) : -ENOMEM;

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
