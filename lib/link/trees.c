/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * .vunify/trees/m-RANDOM/    a tree that is made
 * .vunify/trees/r-INODE/     one that is removed; INODE of the guest's root
 *
 * What is in such a place is for who made it. The directory `trees` is there only while it holds something.
 */
#include "link/trees.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define TREES "trees"

int vu_trees_name(enum vu_tree_kind kind, uint64_t root_ino, char name[VU_TREE_NAME_MAX])
{
	uint64_t n = root_ino;

	if (kind == VU_TREE_MADE && getrandom(&n, sizeof(n), 0) != sizeof(n))
		return -EIO;
	snprintf(name, VU_TREE_NAME_MAX, kind == VU_TREE_MADE ? "m-%016" PRIx64 : "r-%" PRIu64, n);
	return 0;
}

enum vu_tree_kind vu_trees_kind(const char *name)
{
	return name[0] == 'r' ? VU_TREE_REMOVED : VU_TREE_MADE;
}

int vu_trees_open(const struct vu_pool *p, const char *name)
{
	_cleanup_fd_ int trees = vu_pool_part_open(p, TREES, false);

	if (trees < 0)
		return trees;
	int fd = openat(trees, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vu_trees_make(const struct vu_pool *p, const char *name)
{
	_cleanup_fd_ int trees = vu_pool_part_open(p, TREES, true);

	if (trees < 0)
		return trees;
	int r = mkdirat(trees, name, 0700) ? -errno : vu_trees_open(p, name);

	/* there may have been space for the one, and not for the other */
	if (r == -EEXIST)
		return r;
	if (r < 0)
		vu_trees_drop(p, name);
	return r;
}

void vu_trees_drop(const struct vu_pool *p, const char *name)
{
	_cleanup_fd_ int trees = vu_pool_part_open(p, TREES, false);

	if (trees >= 0)
		unlinkat(trees, name, AT_REMOVEDIR);
	vu_trees_tidy(p);
}

void vu_trees_tidy(const struct vu_pool *p)
{
	unlinkat(vu_pool_fd(p), TREES, AT_REMOVEDIR);
}

int vu_trees_remove(struct vu_rmtree_env *env, const char *name, struct vu_rmtree_stats *stats)
{
	_cleanup_fd_ int place = vu_trees_open(env->pool, name);

	if (place < 0)
		return place;
	env->clear_flags = vu_trees_kind(name) == VU_TREE_MADE;
	int r = vu_rmtree(env, place, stats);

	if (!r)
		vu_trees_drop(env->pool, name);
	return r;
}

int vu_trees_each(const struct vu_pool *p, int (*fn)(void *arg, const char *name), void *arg)
{
	int fd = vu_pool_part_open(p, TREES, false), r = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d)
		return fd == -ENOENT ? 0 : fd < 0 ? fd : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = fn(arg, e->d_name);
	return r ? r : -errno;
}
