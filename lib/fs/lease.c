/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sabotage.h"

#define BREAK_NS UINT64_C(45000000000) /* the kernel's own, where it cannot be read */

int vu_lease_take(int fd)
{
	if (vu_sabotaged(NO_LEASE) || !fcntl(fd, F_SETLEASE, F_RDLCK))
		return 0;
	return errno == EAGAIN ? VU_LEASE_BUSY : -errno;
}

uint64_t vu_lease_break_ns(void)
{
	static _Atomic uint64_t known;
	uint64_t ns = atomic_load(&known);
	char text[32] = "";

	if (ns)
		return ns;
	_cleanup_fd_ int fd = open("/proc/sys/fs/lease-break-time", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	ns = n > 0 ? strtoull(text, NULL, 10) * UINT64_C(1000000000) : BREAK_NS;
	ns = ns ? ns : UINT64_MAX;
	atomic_store(&known, ns);
	return ns;
}

bool vu_lease_quiet(int fd)
{
	return vu_sabotaged(NO_LEASE) || fcntl(fd, F_GETLEASE) == F_RDLCK;
}

void vu_lease_tell(int fd, pid_t tid, int sig)
{
	struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = tid};

	/* in this order: the owner is the whole process until then, which the signal would end */
	if (!fcntl(fd, F_SETOWN_EX, &owner))
		fcntl(fd, F_SETSIG, sig);
}

void vu_lease_drop(int fd)
{
	fcntl(fd, F_SETLEASE, F_UNLCK);
}
