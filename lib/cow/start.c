/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define KEPT 4	  /* directories besides the root: a tree is removed from its leaves up */
#define OF_CALL 3 /* a directory for each of two paths, and the root */

/* Where a path of the call at hand begins. */
struct used {
	bool root;
	int dirfd;
	struct vu_start at;
	bool own; /* it is not kept */
};

struct vu_starts {
	int proc; /* borrowed */
	uint64_t dev, ino;
	uint64_t mount;			/* of the guest's root; 0: not seen yet */
	struct vu_start kept[1 + KEPT]; /* fd below 0: none. The first is the root */
	unsigned next;			/* to be replaced */
	bool worth
		[2]; /* was the last directory, the last root one that is kept? Else asking first is in vain */
	struct used used[OF_CALL];
	unsigned n_used;
	bool in_call;
};

struct vu_starts *vu_starts_new(int proc, uint64_t dev, uint64_t ino)
{
	struct vu_starts *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->proc = proc;
	s->dev = dev;
	s->ino = ino;
	for (unsigned i = 0; i < VU_ARRAY_SIZE(s->kept); i++)
		s->kept[i].fd = -EBADF;
	return s;
}

static void forget(struct vu_starts *s)
{
	for (unsigned i = 0; i < s->n_used; i++)
		if (s->used[i].own)
			vu_close_p(&s->used[i].at.fd);
	s->n_used = 0;
}

struct vu_starts *vu_starts_free(struct vu_starts *s)
{
	if (!s)
		return NULL;
	forget(s);
	for (unsigned i = 0; i < VU_ARRAY_SIZE(s->kept); i++)
		vu_close_p(&s->kept[i].fd);
	free(s);
	return NULL;
}

void vu_starts_begin(struct vu_starts *s)
{
	forget(s);
	s->in_call = true;
}

void vu_starts_end(struct vu_starts *s)
{
	forget(s);
	s->in_call = false;
}

static bool is_same(const struct vu_stat *a, const struct vu_stat *b)
{
	return a->version.ino == b->version.ino && a->version.dev == b->version.dev &&
	       a->mount == b->mount;
}

/* A directory that is open keeps its inode's number, and its mount its own: no other can be taken for it. */
static const struct vu_start *find_kept(const struct vu_starts *s, const struct vu_stat *st)
{
	for (unsigned i = 0; i < VU_ARRAY_SIZE(s->kept); i++)
		if (s->kept[i].fd >= 0 && is_same(&s->kept[i].st, st))
			return &s->kept[i];
	return NULL;
}

static bool is_used(const struct vu_starts *s, int fd)
{
	for (unsigned i = 0; i < s->n_used; i++)
		if (s->used[i].at.fd == fd)
			return true;
	return false;
}

/* May it be kept? The root's mount is learnt from the first process that is there. */
static bool is_worth_keeping(struct vu_starts *s, bool root, const struct vu_stat *st)
{
	bool is_root = root && s->ino && st->version.ino == s->ino;

	if (!S_ISDIR(st->mode) || st->version.dev != s->dev || !st->mount)
		return false;
	if (is_root && !s->mount)
		s->mount = st->mount;
	return st->mount == s->mount && (!root || is_root);
}

static void keep(struct vu_starts *s, bool root, const struct vu_start *at)
{
	unsigned i = 0;

	if (!root) {
		do
			i = 1 + s->next++ % KEPT;
		while (s->kept[i].fd >= 0 && is_used(s, s->kept[i].fd));
	}
	vu_close_p(&s->kept[i].fd);
	s->kept[i] = *at;
}

/* Returns whether it was one that is kept, and fills *ret then. */
static bool ask(struct vu_starts *s, bool root, const char *path, struct vu_start *ret)
{
	const struct vu_start *kept;

	if (!s->worth[root] || vu_stat_follow(s->proc, path, &ret->st))
		return false;
	kept = find_kept(s, &ret->st);
	if (kept)
		ret->fd = kept->fd;
	return kept;
}

static int look(struct vu_starts *s, pid_t tid, struct used *u)
{
	char path[48];

	if (u->root)
		snprintf(path, sizeof(path), "%d/root", tid);
	else if (u->dirfd == AT_FDCWD)
		snprintf(path, sizeof(path), "%d/cwd", tid);
	else
		snprintf(path, sizeof(path), "%d/fd/%d", tid, u->dirfd);
	u->own = false;
	if (ask(s, u->root, path, &u->at))
		return 0;
	_cleanup_fd_ int fd = openat(s->proc, path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = vu_stat_fd(fd, &u->at.st);

	if (r)
		return r;
	u->at.fd = vu_take_fd(fd);
	s->worth[u->root] = is_worth_keeping(s, u->root, &u->at.st);
	u->own = !s->worth[u->root];
	if (!u->own)
		keep(s, u->root, &u->at);
	return 0;
}

int vu_starts_get(struct vu_starts *s, pid_t tid, bool root, int dirfd, struct vu_start *ret)
{
	struct used *u = s->used;

	if (!s->in_call)
		forget(s);
	for (; u < s->used + s->n_used; u++) {
		if (u->root == root && (root || u->dirfd == dirfd)) {
			*ret = u->at;
			return 0;
		}
	}
	if (s->n_used == OF_CALL)
		return -ENOBUFS;
	*u = (struct used){.root = root, .dirfd = dirfd};
	int r = look(s, tid, u);

	if (r)
		return r;
	s->n_used++;
	*ret = u->at;
	return 0;
}
