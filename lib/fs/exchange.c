/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/sabotage.h"

int vu_link_fd(int fd, int dirfd, const char *name)
{
	return linkat(fd, "", dirfd, name, AT_EMPTY_PATH) ? -errno : 0;
}

/* As who does not know of RENAME_EXCHANGE does it. The pause makes the gap easy to meet. */
static int rename_both(int dirfd_a, const char *a, int dirfd_b, const char *b)
{
	char aside[64];

	snprintf(aside, sizeof(aside), "%.60s.x", a);
	if (linkat(dirfd_b, b, dirfd_a, aside, 0))
		return -errno;
	usleep(2000);
	if (!renameat(dirfd_a, a, dirfd_b, b) && !renameat(dirfd_a, aside, dirfd_a, a))
		return 0;
	int err = -errno;

	unlinkat(dirfd_a, aside, 0);
	return err;
}

int vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b)
{
	if (vu_sabotaged(RENAME))
		return rename_both(dirfd_a, a, dirfd_b, b);
	return renameat2(dirfd_a, a, dirfd_b, b, RENAME_EXCHANGE) ? -errno : 0;
}
