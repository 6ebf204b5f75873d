/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/iattr.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

/* What somebody may have chosen, as opposed to how a file system stores it (extents, inline, ...). */
#define CHOSEN                                                                                     \
	(FS_SECRM_FL | FS_UNRM_FL | FS_COMPR_FL | FS_SYNC_FL | FS_APPEND_FL | FS_NODUMP_FL |       \
	 FS_NOATIME_FL | FS_NOCOMP_FL | FS_JOURNAL_DATA_FL | FS_NOTAIL_FL | FS_NOCOW_FL |          \
	 FS_DAX_FL | FS_VERITY_FL | FS_ENCRYPT_FL)

int vu_iattr_get(int fd, uint32_t *ret_flags)
{
	int flags = 0; /* the kernel writes an int, whatever the request's type says */

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return -errno;
	*ret_flags = (uint32_t)flags;
	return 0;
}

static int set_by_flags(int fd, bool on)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return -errno;
	/* the request's type says long, of which the kernel reads an int; valgrind looks at all of it */
	int wanted[2] = {on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL};

	if (wanted[0] == flags)
		return 0;
	return ioctl(fd, FS_IOC_SETFLAGS, wanted) ? -errno : 0;
}

/*
 * By FS_IOC_FSSETXATTR where that is known, because of btrfs (Linux 6.18): FS_IOC_SETFLAGS is about compression there
 * too. Of a file with FS_COMPR_FL it makes that the file system's own, whatever the property btrfs.compression was; and
 * of any other it looks for that property, to remove it, which takes a quarter of the time that it needs. ext4 and
 * XFS do the same for both.
 */
int vu_iattr_set_immutable(int fd, bool on)
{
	struct fsxattr x = {0};

	if (ioctl(fd, FS_IOC_FSGETXATTR, &x))
		return errno == ENOTTY || errno == EOPNOTSUPP ? set_by_flags(fd, on) : -errno;
	uint32_t wanted = on ? x.fsx_xflags | FS_XFLAG_IMMUTABLE
			     : x.fsx_xflags & ~(uint32_t)FS_XFLAG_IMMUTABLE;

	if (wanted == x.fsx_xflags)
		return 0;
	x.fsx_xflags = wanted;
	return ioctl(fd, FS_IOC_FSSETXATTR, &x) ? -errno : 0;
}

int vu_iattr_project(int fd, uint32_t *ret_project)
{
	struct fsxattr x = {0};

	if (ioctl(fd, FS_IOC_FSGETXATTR, &x) && errno != ENOTTY && errno != EOPNOTSUPP)
		return -errno;
	*ret_project = x.fsx_projid;
	return 0;
}

int vu_iattr_project_inherited(int dirfd, uint32_t *ret_project)
{
	struct fsxattr x = {0};

	if (ioctl(dirfd, FS_IOC_FSGETXATTR, &x) && errno != ENOTTY && errno != EOPNOTSUPP)
		return -errno;
	*ret_project = x.fsx_xflags & FS_XFLAG_PROJINHERIT ? x.fsx_projid : 0;
	return 0;
}

uint32_t vu_iattr_key_flags(uint32_t flags)
{
	return flags & CHOSEN;
}
