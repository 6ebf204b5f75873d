/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/lease.h"

#include <errno.h>
#include <fcntl.h>

#include "base/sabotage.h"

int vu_lease_take(int fd)
{
	if (vu_sabotaged(NO_LEASE) || !fcntl(fd, F_SETLEASE, F_RDLCK))
		return 0;
	return errno == EAGAIN ? VU_LEASE_BUSY : -errno;
}

bool vu_lease_quiet(int fd)
{
	return vu_sabotaged(NO_LEASE) || fcntl(fd, F_GETLEASE) == F_RDLCK;
}

void vu_lease_tell(int fd, pid_t tid, int sig)
{
	struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = tid};

	fcntl(fd, F_SETSIG, sig);
	fcntl(fd, F_SETOWN_EX, &owner);
}

void vu_lease_drop(int fd)
{
	fcntl(fd, F_SETLEASE, F_UNLCK);
}
