/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has a run been cut short? Answered without changing anything, also while others break links in the
 * pool: what they have claimed is at work, and not left.
 */
#include "link/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/beneath.h"
#include "fs/guard.h"
#include "fs/stat.h"
#include "link/journal.h"
#include "link/pool.h"
#include "link/trees.h"

/* Opens a directory below an open one, for readdir(3). */
static int list(int parent, const char *name, DIR **ret)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*ret = fd < 0 ? NULL : fdopendir(fd);
	if (*ret)
		return 0;
	int e = fd < 0 ? -errno : vu_close_failed_consume(fd);

	return e < 0 ? e : -EIO; /* there is always a reason */
}

/* The next entry whose name does not begin with a dot; or NULL, with errno. */
static const struct dirent *next(DIR *d)
{
	const struct dirent *e;

	do
		errno = 0, e = readdir(d);
	while (e && e->d_name[0] == '.');
	return e;
}

static int has_any(int parent, const char *name)
{
	_cleanup_closedir_ DIR *d = NULL;
	int r = list(parent, name, &d);

	return r ? r : next(d) ? 1 : -errno;
}

static bool is_at_work(const struct vu_pool *p, unsigned slot)
{
	return vu_claim_slot_is_taken(vu_pool_claims(p), slot);
}

static int journal_has_lines(const struct vu_pool *p)
{
	_cleanup_closedir_ DIR *d = NULL;
	const struct dirent *e;
	struct vu_stat st;
	unsigned slot;
	int r = list(vu_pool_fd(p), ".", &d);

	while (!r && (e = next(d)))
		if (vu_journal_is(e->d_name, &slot) && !is_at_work(p, slot) &&
		    !vu_stat_at(vu_pool_fd(p), e->d_name, &st) && st.version.size)
			return 1;
	return r ? r : -errno;
}

/* Anything in the stage but empty directories of workers? */
static int stage_has_any(const struct vu_pool *p)
{
	_cleanup_closedir_ DIR *d = NULL;
	const struct dirent *e;
	int r = list(vu_pool_stage_fd(p), ".", &d), any = 0;

	while (!r && !any && (e = next(d))) {
		unsigned slot = (unsigned)strtoul(e->d_name, NULL, 10);

		if (e->d_type != DT_DIR)
			any = 1;
		else if (!is_at_work(p, slot))
			any = has_any(vu_pool_stage_fd(p), e->d_name);
	}
	return r ? r : any ? any : -errno;
}

static int has_slipped(const struct vu_pool *p)
{
	_cleanup_closedir_ DIR *d = NULL;
	int r = list(vu_pool_fd(p), "slipped", &d);

	if (r)
		return r == -ENOENT ? 0 : r;
	return next(d) ? 1 : -errno;
}

static int has_tree(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 1;
}

/* One statx(2), but for those that the guard holds instead of a flag. */
static bool is_open(int shard, const char *name, uint64_t *ret_ino)
{
	struct vu_stat st;

	if (vu_stat_at(shard, name, &st))
		return false;
	*ret_ino = st.version.ino;
	if (st.attributes & STATX_ATTR_IMMUTABLE)
		return false;
	_cleanup_fd_ int fd = vu_regular_open(shard, name, NULL);

	return fd < 0 || !vu_guard_holds(fd);
}

/* Without its flag, and nobody is in a moment of it: before a moment comes a claim, and stays behind it. */
static bool is_left_open(const struct vu_pool *p, int shard, const char *name)
{
	const struct vu_claims *claims = vu_pool_claims(p);
	uint64_t ino;

	return is_open(shard, name, &ino) && !vu_claim_is_taken(claims, ino) &&
	       is_open(shard, name, &ino) && !vu_claim_is_taken(claims, ino);
}

static int shard_has_open(const struct vu_pool *p, int objects, const char *shard)
{
	_cleanup_closedir_ DIR *d = NULL;
	const struct dirent *e;
	struct vu_key key;
	int r = list(objects, shard, &d);

	while (!r && (e = next(d)))
		if (!vu_key_parse(e->d_name, &key) && is_left_open(p, dirfd(d), e->d_name))
			return 1;
	/* whatever somebody has put there: `verify` tells it */
	if (r == -ENOTDIR || r == -ELOOP)
		return 0;
	return r ? r : -errno;
}

static int has_open_object(const struct vu_pool *p)
{
	_cleanup_closedir_ DIR *d = NULL;
	const struct dirent *e;
	int r = list(vu_pool_fd(p), "objects", &d), any = 0;

	while (!r && !any && (e = next(d)))
		any = shard_has_open(p, dirfd(d), e->d_name);
	return r ? r : any ? any : -errno;
}

int vu_recover_is_left(const struct vu_pool *pool)
{
	int r = journal_has_lines(pool);

	if (!r)
		r = stage_has_any(pool);
	if (!r)
		r = has_slipped(pool);
	return r ? r : vu_trees_each(pool, has_tree, NULL);
}

int vu_recover_is_needed(const struct vu_pool *pool)
{
	int r = vu_recover_is_left(pool);

	return r ? r : has_open_object(pool);
}
