/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/dir-walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "link/dirs.h"

static struct vu_dirwalk_dir *dir_at(const struct vu_dirwalk *w, uint32_t i)
{
	return vu_chunks_at(&w->dirs, i);
}

/* A place on the stack that was used before is used again: memory is that of the deepest moment. */
static int push(struct vu_dirwalk *w, uint32_t dir)
{
	uint32_t i;
	int r = w->n_todo < w->todo.n ? 0 : vu_chunks_add(&w->todo, 1, &i);

	if (!r)
		*(uint32_t *)vu_chunks_at(&w->todo, w->n_todo++) = dir;
	return r;
}

static int add(struct vu_dirwalk *w, uint32_t parent, uint32_t depth, const char *name)
{
	uint32_t i, text;
	int r = vu_dirwalk_keep(w, name, &text);

	if (!r)
		r = vu_chunks_add(&w->dirs, 1, &i);
	if (r)
		return r;
	*dir_at(w, i) = (struct vu_dirwalk_dir){.parent = parent, .name = text, .depth = depth};
	return push(w, i);
}

int vu_dirwalk_init(struct vu_dirwalk *w, int root, uint32_t max_depth)
{
	*w = (struct vu_dirwalk){.root = root, .max_depth = max_depth};
	w->buf = malloc(VU_LISTING_BYTES);
	int r = w->buf ? vu_chunks_init(&w->dirs, sizeof(struct vu_dirwalk_dir)) : -ENOMEM;

	if (!r)
		r = vu_chunks_init(&w->todo, sizeof(uint32_t));
	if (!r)
		r = vu_arena_init(&w->text);
	return r ? r : add(w, UINT32_MAX, 0, "");
}

void vu_dirwalk_done(struct vu_dirwalk *w)
{
	vu_chunks_done(&w->dirs);
	vu_chunks_done(&w->todo);
	vu_arena_done(&w->text);
	free(w->path);
	free(w->buf);
	*w = (struct vu_dirwalk){0};
}

int vu_dirwalk_next(struct vu_dirwalk *w)
{
	if (!w->n_todo)
		return VU_DIRWALK_END;
	w->dir = *(uint32_t *)vu_chunks_at(&w->todo, --w->n_todo);
	free(w->path);
	w->path = vu_dirwalk_path(w, w->dir, NULL);
	return w->path ? 0 : -ENOMEM;
}

int vu_dirwalk_open(const struct vu_dirwalk *w)
{
	return vu_dirs_open_path(w->root, w->path, O_RDONLY | O_DIRECTORY | O_NOATIME);
}

int vu_dirwalk_add(struct vu_dirwalk *w, const char *name)
{
	uint32_t depth = dir_at(w, w->dir)->depth + 1;

	return depth > w->max_depth ? VU_DIRWALK_DEEP : add(w, w->dir, depth, name);
}

int vu_dirwalk_keep(struct vu_dirwalk *w, const char *name, uint32_t *ret_name)
{
	return vu_arena_add(&w->text, name, strlen(name), ret_name);
}

/* Puts a component before what is at end. */
static char *prepend(char *end, const char *name, size_t n)
{
	memcpy(end - n, name, n);
	return end - n;
}

char *vu_dirwalk_path(const struct vu_dirwalk *w, uint32_t dir, const char *name)
{
	size_t len = name ? strlen(name) + 1 : 0;

	for (uint32_t i = dir; dir_at(w, i)->parent != UINT32_MAX; i = dir_at(w, i)->parent)
		len += strlen(vu_arena_at(&w->text, dir_at(w, i)->name)) + 1;
	char *path = malloc(len + 1), *at = path ? path + len : NULL;

	if (!path)
		return NULL;
	*at = 0;
	if (!len)
		return path;
	if (name)
		at = prepend(at, name, strlen(name));
	for (uint32_t i = dir; dir_at(w, i)->parent != UINT32_MAX; i = dir_at(w, i)->parent) {
		const char *s = vu_arena_at(&w->text, dir_at(w, i)->name);

		if (*at)
			*--at = '/';
		at = prepend(at, s, strlen(s));
	}
	/* one separator less than components */
	memmove(path, at, strlen(at) + 1);
	return path;
}
