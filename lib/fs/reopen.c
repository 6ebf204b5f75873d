/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/reopen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

int vu_reopen(int fd, int flags)
{
	char path[sizeof("/proc/self/fd/") + 11];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int r = open(path, flags | O_CLOEXEC);

	return r < 0 ? -errno : r;
}
