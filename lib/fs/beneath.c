/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/reopen.h"

int vu_beneath_open(int rootfd, const char *rel, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};
	long fd;

	/* EAGAIN: a rename ran at the same time and the kernel could not be sure (openat2(2)) */
	for (int tries = 0; tries < 64; tries++) {
		fd = syscall(SYS_openat2, rootfd, *rel ? rel : ".", &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

int vu_regular_open(int dirfd, const char *name, struct vu_stat *ret_stat)
{
	struct vu_stat st;
	_cleanup_fd_ int pin = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (pin < 0)
		return -errno;
	int r = vu_stat_fd(pin, &st);

	if (r)
		return r;
	if (!S_ISREG(st.mode))
		return -ESTALE;
	int fd = vu_reopen(pin, O_RDONLY | O_NOATIME | O_NONBLOCK);

	if (fd >= 0 && ret_stat)
		*ret_stat = st;
	return fd;
}
