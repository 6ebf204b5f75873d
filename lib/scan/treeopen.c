/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scan/treeopen.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "fs/beneath.h"
#include "fs/stat.h"

#define PIECE 4000 /* bytes; openat2(2) takes PATH_MAX at most */

/* Opens a path of any length piece by piece; path is cut up. */
static int open_pieces(int root, char *path, int flags)
{
	_cleanup_fd_ int at = -EBADF;
	size_t left = strlen(path);

	while (left > PIECE) {
		char *cut = memrchr(path, '/', PIECE);

		if (!cut)
			return -ENAMETOOLONG;
		*cut = 0;
		int fd = vu_beneath_open(at >= 0 ? at : root, path, O_PATH | O_DIRECTORY);

		if (fd < 0)
			return fd;
		vu_close_p(&at);
		at = fd;
		left -= (size_t)(cut + 1 - path);
		path = cut + 1;
	}
	return vu_beneath_open(at >= 0 ? at : root, path, flags | O_NOFOLLOW);
}

int vu_treeopen_dir(const struct vu_tree *t, int root, uint32_t dir, int flags)
{
	_cleanup_free_ char *path = vu_tree_dir_path(t, dir);
	_cleanup_fd_ int fd = -EBADF;
	struct vu_stat st;

	if (!path)
		return -ENOMEM;
	fd = open_pieces(root, path, flags | O_DIRECTORY);
	if (fd < 0)
		return fd;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	return st.version.ino == vu_tree_dir(t, dir)->ino ? vu_take_fd(fd) : -ESTALE;
}

int vu_treeopen_name(const struct vu_tree *t, int root, uint32_t name)
{
	_cleanup_free_ char *path = vu_tree_name_path(t, name);

	return path ? open_pieces(root, path, O_PATH) : -ENOMEM;
}
