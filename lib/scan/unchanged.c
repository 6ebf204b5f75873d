/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory is opened once, by its path beneath the root, where it has files or children to be looked at; one
 * that has neither is looked at from its parent. So there is one statx(2) for each directory and each private
 * name, and an openat2(2) for some of the directories. A guest may rename directories meanwhile: what is looked
 * at is what stands at the path and has the recorded inode, or the answer is no.
 */
#include "scan/unchanged.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/stop.h"
#include "fs/beneath.h"
#include "fs/stat.h"
#include "model/skip.h"
#include "model/tree.h"

struct look {
	const struct vu_recorded *r;
	int root;
	struct vu_stat st; /* of the root */
};

static const char *text(const struct look *l, uint32_t name)
{
	return l->r->text + name;
}

static bool is_root_mount(const struct look *l, const struct vu_stat *st)
{
	return st->version.dev == l->st.version.dev && st->mount == l->st.mount;
}

static bool is_dir_same(const struct look *l, const struct vu_recorded_dir *d,
			const struct vu_stat *st)
{
	if (!S_ISDIR(st->mode))
		return false;
	if (d->flags & VU_DIR_OTHER_FS)
		return !is_root_mount(l, st);
	return is_root_mount(l, st) && st->version.ino == d->ino &&
	       st->version.mtime_ns == d->mtime_ns && st->version.ctime_ns == d->ctime_ns;
}

/* By all that the walk compares. */
static bool is_file_same(const struct look *l, const struct vu_recorded_inode *n,
			 const struct vu_stat *st)
{
	return S_ISREG(st->mode) && is_root_mount(l, st) && st->version.ino == n->ino &&
	       st->version.size == n->size && st->version.mtime_ns == n->mtime_ns &&
	       st->version.ctime_ns == n->ctime_ns && vu_tree_links(st->n_links) == n->n_links &&
	       st->mode == n->mode && st->uid == n->uid && st->gid == n->gid;
}

/* Is there a directory that is never clean, or a file that is asked again in each run? */
static bool is_restless(const struct vu_recorded *r)
{
	for (size_t i = 0; i < r->n_dirs; i++)
		if (r->dirs[i].flags & ~(VU_DIR_EXCLUDED | VU_DIR_OTHER_FS))
			return true;
	for (size_t i = 0; i < r->n_inodes; i++)
		if (!r->inodes[i].n_names || vu_skip_is_momentary(r->inodes[i].skip))
			return true;
	return !r->n_dirs;
}

/* Has it something in it that is looked at? Excluded directories are not. */
static bool is_inner(const struct vu_recorded *r, const struct vu_recorded_dir *d)
{
	if (d->flags & (VU_DIR_EXCLUDED | VU_DIR_OTHER_FS))
		return false;
	if (d->n_files || d->parent == VU_NONE)
		return true;
	for (uint32_t i = d->first_child; i != VU_NONE; i = r->dirs[i].sibling)
		if (!(r->dirs[i].flags & VU_DIR_EXCLUDED))
			return true;
	return false;
}

/* The path is built from its end in buf; NULL: it is longer than any that the kernel takes. */
static const char *path_of(const struct look *l, const struct vu_recorded_dir *d,
			   char buf[PATH_MAX])
{
	size_t at = PATH_MAX - 1;

	buf[at] = 0;
	for (; d->parent != VU_NONE; d = &l->r->dirs[d->parent]) {
		size_t n = strlen(text(l, d->name));

		if (at < n + 1)
			return NULL;
		if (buf[at])
			buf[--at] = '/';
		at -= n;
		memcpy(buf + at, text(l, d->name), n);
	}
	return buf + at;
}

static bool look_in(const struct look *l, const struct vu_recorded_dir *d, int fd)
{
	const struct vu_recorded *r = l->r;
	struct vu_stat st;

	if (vu_stat_fd(fd, &st) || !is_dir_same(l, d, &st))
		return false;
	for (uint32_t i = d->first_child; i != VU_NONE; i = r->dirs[i].sibling) {
		const struct vu_recorded_dir *c = &r->dirs[i];

		if (c->flags & VU_DIR_EXCLUDED || is_inner(r, c))
			continue;
		if (vu_stat_at(fd, text(l, c->name), &st) || !is_dir_same(l, c, &st))
			return false;
	}
	for (size_t i = d->first_file; i < (size_t)d->first_file + d->n_files; i++) {
		const struct vu_recorded_file *f = &r->files[i];

		if (vu_stat_at(fd, text(l, f->name), &st) ||
		    !is_file_same(l, &r->inodes[f->inode], &st))
			return false;
	}
	return true;
}

static int look_at(const struct look *l, const struct vu_recorded_dir *d)
{
	char buf[PATH_MAX];
	const char *path = path_of(l, d, buf);

	if (!path)
		return 0;
	_cleanup_fd_ int fd = vu_beneath_open(l->root, path, O_PATH | O_DIRECTORY | O_NOFOLLOW);

	return fd < 0 ? fd : look_in(l, d, fd);
}

int vu_unchanged(const struct vu_recorded *r, int root)
{
	struct look l = {.r = r, .root = root};
	int e = vu_stat_fd(root, &l.st);

	if (e || is_restless(r))
		return e;
	for (size_t i = 0; i < r->n_dirs; i++) {
		if (!is_inner(r, &r->dirs[i]))
			continue;
		e = vu_stop_requested() ? 0 : look_at(&l, &r->dirs[i]);
		if (e <= 0)
			return e;
	}
	return 1;
}
