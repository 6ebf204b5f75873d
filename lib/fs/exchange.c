/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int vu_link_fd(int fd, int dirfd, const char *name)
{
	return linkat(fd, "", dirfd, name, AT_EMPTY_PATH) ? -errno : 0;
}

int vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b)
{
	return renameat2(dirfd_a, a, dirfd_b, b, RENAME_EXCHANGE) ? -errno : 0;
}
