/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/cow-mark.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ops/lock.h"

static int open_mark(const char *dir, const char *root, int flags)
{
	char name[64];
	int r = vu_lock_name("cow", root, name, sizeof(name));

	if (r)
		return r;
	_cleanup_fd_ int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dirfd < 0 ? -1 : openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int vu_cow_mark_take(const char *dir, const char *root, const char *how)
{
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	_cleanup_fd_ int fd = open_mark(dir, root, O_RDWR | O_CREAT);

	/* who looks has it for an instant only */
	if (fd < 0 || flock(fd, LOCK_SH))
		return fd < 0 ? fd : -errno;
	/* for people only: a full disk must not stop it */
	if (ftruncate(fd, 0) || pwrite(fd, how, strlen(how), 0) < 0)
		errno = 0;
	return vu_take_fd(fd);
}

int vu_cow_mark_look(const char *dir, const char *root, char *how)
{
	_cleanup_fd_ int fd = open_mark(dir, root, O_RDONLY);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno != EWOULDBLOCK)
		return -errno;
	ssize_t n = pread(fd, how, VU_COW_MARK_TEXT - 1, 0);

	how[n > 0 ? n : 0] = 0;
	return 1;
}
