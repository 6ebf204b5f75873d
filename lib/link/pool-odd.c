/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/pool-odd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "link/journal.h"

struct looking {
	int pool; /* .vunify */
	struct vu_pool_look *to;
};

static int tell(struct looking *l, const char *dir, const char *name)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, ".vunify/%s%s%s", dir, *dir ? "/" : "", name) < 0)
		return (path = NULL, -ENOMEM);
	return l->to->odd(l->to->odd_arg, path);
}

/* Calls fn for each name in a directory of the pool, which need not be there. */
static int each(struct looking *l, const char *dir,
		int (*fn)(struct looking *l, const char *dir, const char *name, uint64_t ino))
{
	int fd = openat(l->pool, *dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return fd >= 0 ? vu_close_failed_consume(fd) : errno == ENOENT ? 0 : -errno;
	while (!r && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = fn(l, dir, e->d_name, e->d_ino);
	return r ? r : -errno;
}

static int look_at_object(struct looking *l, const char *dir, const char *name, uint64_t ino)
{
	const char *shard = strrchr(dir, '/') + 1;
	struct vu_key key;

	if (vu_key_parse(name, &key) || strncmp(name, shard, 2) != 0)
		return tell(l, dir, name);
	return l->to->object ? l->to->object(l->to->object_arg, ino, &key) : 0;
}

static int look_at_shard(struct looking *l, const char *dir, const char *name, uint64_t ino)
{
	char path[16];

	(void)ino;
	if (strlen(name) != 2 || strspn(name, "0123456789abcdef") != 2)
		return tell(l, dir, name);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int r = each(l, path, look_at_object);

	return r == -ENOTDIR || r == -ELOOP ? tell(l, dir, name) : r;
}

/* Named by an object, or by one and a suffix. */
static int look_at_note(struct looking *l, const char *dir, const char *name, uint64_t ino)
{
	static const char suffix[] = ".copy";
	char base[VU_KEY_NAME_MAX + sizeof(suffix)];
	size_t n = strlen(name), s = sizeof(suffix) - 1;
	struct vu_key key;

	(void)ino;
	if (n >= sizeof(base))
		return tell(l, dir, name);
	strcpy(base, name);
	if (n > s && !strcmp(base + n - s, suffix))
		base[n - s] = 0;
	return vu_key_parse(base, &key) ? tell(l, dir, name) : 0;
}

static int count_rescued(struct looking *l, const char *dir, const char *name, uint64_t ino)
{
	(void)dir;
	(void)name;
	(void)ino;
	l->to->rescued++;
	return 0;
}

static int look_at_top(struct looking *l, const char *dir, const char *name, uint64_t ino)
{
	static const char *const known[] = {"lock",    "claims",     "objects", "stage",
					    "slipped", "quarantine", "rescued", "trees"};
	unsigned slot;

	(void)ino;
	for (size_t i = 0; i < VU_ARRAY_SIZE(known); i++)
		if (!strcmp(name, known[i]))
			return 0;
	return vu_journal_is(name, &slot) ? 0 : tell(l, dir, name);
}

int vu_pool_odd_each(const struct vu_pool *p, struct vu_pool_look *look)
{
	struct looking l = {.pool = vu_pool_fd(p), .to = look};

	look->rescued = 0;
	int r = each(&l, "", look_at_top);

	if (!r)
		r = each(&l, "objects", look_at_shard);
	if (!r)
		r = each(&l, "slipped", look_at_note);
	if (!r)
		r = each(&l, "quarantine", look_at_note);
	if (!r)
		r = each(&l, "rescued", count_rescued);
	return r;
}
