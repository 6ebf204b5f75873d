/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mark is a symbolic link named as the object, which leads to its inode number in decimal: made by one call, so it
 * is whole or not there. The number tells it from one that was left by an object of the same name before.
 */
#include "link/quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define DIR_NAME "quarantine"
#define INO_MAX 24

int vu_quarantine_add(const struct vu_pool *p, const struct vu_key *key, uint64_t ino)
{
	_cleanup_fd_ int dir = vu_pool_part_open(p, DIR_NAME, true);
	char name[VU_KEY_NAME_MAX], text[INO_MAX];

	if (dir < 0)
		return dir;
	if (vu_quarantine_has(p, key, ino))
		return 0;
	vu_key_name(key, name);
	snprintf(text, sizeof(text), "%" PRIu64, ino);
	if (unlinkat(dir, name, 0) && errno != ENOENT)
		return -errno;
	if (symlinkat(text, dir, name))
		return -errno;
	return fsync(dir) ? -errno : 0;
}

bool vu_quarantine_has(const struct vu_pool *p, const struct vu_key *key, uint64_t ino)
{
	char path[sizeof(DIR_NAME) + VU_KEY_NAME_MAX] = DIR_NAME "/", text[INO_MAX];

	vu_key_name(key, path + strlen(path));
	ssize_t n = readlinkat(vu_pool_fd(p), path, text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = 0;
	return strtoull(text, NULL, 10) == ino;
}

bool vu_quarantine_is_used(const struct vu_pool *p)
{
	/* there only while a mark is in it */
	return !faccessat(vu_pool_fd(p), DIR_NAME, F_OK, AT_SYMLINK_NOFOLLOW);
}

int vu_quarantine_lift(const struct vu_pool *p, const struct vu_key *key)
{
	_cleanup_fd_ int dir = vu_pool_part_open(p, DIR_NAME, false);
	char name[VU_KEY_NAME_MAX];

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	vu_key_name(key, name);
	if (unlinkat(dir, name, 0) && errno != ENOENT)
		return -errno;
	unlinkat(vu_pool_fd(p), DIR_NAME, AT_REMOVEDIR); /* when it was the last */
	return 0;
}

void vu_quarantine_sweep(const struct vu_pool *p)
{
	int fd = vu_pool_part_open(p, DIR_NAME, false);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	struct vu_key key;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d))) {
		if (vu_key_parse(e->d_name, &key))
			continue;
		_cleanup_fd_ int object = vu_pool_object_open(p, &key);

		if (object == -ENOENT)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	unlinkat(vu_pool_fd(p), DIR_NAME, AT_REMOVEDIR);
}
