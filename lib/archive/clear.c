/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One descriptor for each level; from DEEP levels on, directories are first moved to the top, so that there
 * is an end to that. (Not where something may stay.)
 */
#include "archive/clear.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/beneath.h"

#define DEEP 100
#define TRIES 64
#define MOVED ".deep-%u"

struct removal {
	const struct vu_clearing *o;
	int top; /* where deep directories go; -EBADF: they stay where they are */
	unsigned n_moved;
};

static int remove_name(struct removal *r, int dir, const char *name, unsigned depth);

/* Opens a directory for readdir(3), and nothing that is mounted there. */
static int list(int dir, const char *name, DIR **ret)
{
	int fd = vu_beneath_open(dir, name, O_RDONLY | O_DIRECTORY);

	*ret = fd < 0 ? NULL : fdopendir(fd);
	return fd < 0 ? fd : *ret ? 0 : vu_close_failed_consume(fd);
}

/* Entries may be removed while a directory is read; some may then be passed over, so it is read again. */
static int empty(struct removal *r, int dir, const char *name, unsigned depth)
{
	_cleanup_closedir_ DIR *d = NULL;
	int e = list(dir, name, &d);
	const struct dirent *entry;

	while (!e && (errno = 0, entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			e = remove_name(r, dirfd(d), entry->d_name, depth + 1);
	return e ? e : -errno;
}

/* Under a name that is free there. */
static int move_up(struct removal *r, int dir, const char *name)
{
	char moved[32];

	for (;;) {
		snprintf(moved, sizeof(moved), MOVED, r->n_moved++);
		if (!renameat2(dir, name, r->top, moved, RENAME_NOREPLACE))
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
}

static int remove_dir(struct removal *r, int dir, const char *name, uint64_t ino, unsigned depth)
{
	if (depth >= DEEP && r->top >= 0)
		return move_up(r, dir, name);
	if (r->o->gone)
		r->o->gone(r->o->arg, ino);
	for (int tries = 0;; tries++) {
		int e = empty(r, dir, name, depth);

		if (e)
			return e;
		if (!unlinkat(dir, name, AT_REMOVEDIR))
			return 0;
		if ((errno != ENOTEMPTY && errno != EEXIST) || tries == TRIES)
			return -errno;
	}
}

static int remove_name(struct removal *r, int dir, const char *name, unsigned depth)
{
	struct vu_stat st;
	int e = vu_stat_at(dir, name, &st);

	if (e)
		return e == -ENOENT ? 0 : e;
	if (r->o->stays && r->o->stays(r->o->arg, &st))
		return S_ISDIR(st.mode) ? empty(r, dir, name, depth) : 0;
	return S_ISDIR(st.mode)		? remove_dir(r, dir, name, st.version.ino, depth)
	       : unlinkat(dir, name, 0) ? -errno
					: 0;
}

int vu_clear(int dir, const char *name, const struct vu_clearing *o)
{
	struct removal r = {.o = o, .top = o->stays ? -EBADF : dir};
	int e = remove_name(&r, dir, name, 0);

	/* what was moved to the top may hold directories that are as deep again */
	for (unsigned i = 0; !e && i < r.n_moved; i++) {
		char moved[32];

		snprintf(moved, sizeof(moved), MOVED, i);
		e = remove_name(&r, dir, moved, 0);
	}
	return e;
}

int vu_clear_below(int dir, const struct vu_clearing *o)
{
	struct removal r = {.o = o, .top = -EBADF};

	return empty(&r, dir, ".", 0);
}
