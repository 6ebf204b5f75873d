/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct vu_template_file *vu_template_files_add(struct vu_template_files *fs, const char *path)
{
	if (fs->n == fs->cap) {
		size_t cap = VU_MAX(fs->cap * 2, (size_t)256);
		struct vu_template_file *v = reallocarray(fs->v, cap, sizeof(*v));

		if (!v)
			return NULL;
		fs->v = v;
		fs->cap = cap;
	}
	struct vu_template_file *f = &fs->v[fs->n];

	*f = (struct vu_template_file){.path = strdup(path)};
	if (!f->path)
		return NULL;
	fs->n++;
	return f;
}

int vu_template_file_push(struct vu_template_file *f, const struct vu_template_version *v)
{
	struct vu_template_version *more = reallocarray(f->v, f->n + 1U, sizeof(*more));

	if (!more)
		return -ENOMEM;
	f->v = more;
	more[f->n++] = *v;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct vu_template_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

void vu_template_files_sort(struct vu_template_files *fs)
{
	if (fs->n)
		qsort(fs->v, fs->n, sizeof(*fs->v), by_path);
}

struct vu_template_file *vu_template_files_find(const struct vu_template_files *fs,
						const char *path)
{
	struct vu_template_file key = {.path = (char *)(uintptr_t)path};

	return fs->n ? bsearch(&key, fs->v, fs->n, sizeof(key), by_path) : NULL;
}

void vu_template_files_done(struct vu_template_files *fs)
{
	for (size_t i = 0; i < fs->n; i++) {
		free(fs->v[i].path);
		free(fs->v[i].v);
	}
	free(fs->v);
	*fs = (struct vu_template_files){0};
}
