/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/uuid.h"

#include <linux/btrfs.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

/* FS_IOC_GETFSUUID of Linux 6.9; Debian 12's headers do not know it. */
struct fsuuid {
	uint8_t len;
	uint8_t uuid[16];
};
#define GETFSUUID _IOR(0x15, 0, struct fsuuid)

/* XFS_IOC_FSGEOMETRY_V1: what XFS tells on older kernels too. Its header is not in libc6-dev. */
struct xfs_geometry {
	uint32_t sizes[8];
	uint64_t blocks[4];
	uint8_t uuid[16];
	uint32_t others[7];
};
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)

int vu_uuid_of(int fd, uint8_t *ret_uuid)
{
	struct btrfs_ioctl_fs_info_args info = {0};
	struct xfs_geometry geometry;
	struct fsuuid u = {0};

	if (!ioctl(fd, GETFSUUID, &u) && u.len == sizeof(u.uuid)) {
		memcpy(ret_uuid, u.uuid, sizeof(u.uuid));
		return 1;
	}
	/* btrfs tells its UUID in its own way only (Linux 6.18) */
	if (!ioctl(fd, BTRFS_IOC_FS_INFO, &info)) {
		memcpy(ret_uuid, info.fsid, sizeof(info.fsid));
		return 1;
	}
	if (ioctl(fd, XFS_GEOMETRY, &geometry))
		return 0;
	memcpy(ret_uuid, geometry.uuid, sizeof(geometry.uuid));
	return 1;
}
