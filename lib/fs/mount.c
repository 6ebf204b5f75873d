/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "base/hex.h"
#include "fs/mountinfo.h"
#include "fs/stat.h"

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

void vu_mount_done(struct vu_mount *m)
{
	free(m->point);
	free(m->root);
	free(m->type);
	free(m->fs_id);
	*m = (struct vu_mount){0};
}

static int find_mount(uint64_t id, struct vu_mount *m)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!f)
		return -errno;
	/* a line that ends with an error may be half of one */
	while ((errno = 0, getline(&line, &size, f)) > 0 && !ferror(f)) {
		struct vu_mountinfo info;

		if (!vu_mountinfo_parse(line, &info) || info.id != id)
			continue;
		m->point = strdup(info.point);
		m->root = strdup(info.root);
		m->type = strdup(info.type);
		m->super_dev = info.dev;
		m->read_only = vu_mountinfo_has_option(&info, "ro");
		return m->point && m->root && m->type ? 0 : -ENOMEM;
	}
	return !ferror(f) ? -ENOENT : errno ? -errno : -EIO;
}

/* Returns 1, 0 where the file system tells none, or a negative errno. */
static int get_uuid(int dirfd, const char *type, uint8_t *ret_uuid)
{
	/* a descriptor of O_PATH, as roots have, takes no ioctl */
	_cleanup_fd_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct btrfs_ioctl_fs_info_args info = {0};
	struct xfs_geometry geometry;
	struct fsuuid u = {0};

	if (fd < 0)
		return -errno;
	if (!ioctl(fd, GETFSUUID, &u) && u.len == sizeof(u.uuid)) {
		memcpy(ret_uuid, u.uuid, sizeof(u.uuid));
		return 1;
	}
	/* btrfs tells its UUID in its own way only (Linux 6.18) */
	if (!strcmp(type, "btrfs") && !ioctl(fd, BTRFS_IOC_FS_INFO, &info)) {
		memcpy(ret_uuid, info.fsid, sizeof(info.fsid));
		return 1;
	}
	if (strcmp(type, "xfs") != 0 || ioctl(fd, XFS_GEOMETRY, &geometry))
		return 0;
	memcpy(ret_uuid, geometry.uuid, sizeof(geometry.uuid));
	return 1;
}

/*
 * XFS makes its fsid of the device's number, so only the UUID is known again after a reboot; ext4 and
 * btrfs make it of the UUID. btrfs: the fsid names the subvolume, within which alone hard links are
 * possible.
 */
static int identify(int fd, struct vu_mount *m)
{
	uint8_t uuid[16];
	struct statfs s;
	char hex[33];
	int n;

	if (fstatfs(fd, &s))
		return -errno;
	m->block_bytes = s.f_bsize > 0 ? (uint64_t)s.f_bsize : 4096;
	int r = get_uuid(fd, m->type, uuid);

	if (r < 0) /* without it the file system would be taken for another one */
		return r;
	if (r) {
		vu_hex_encode(uuid, sizeof(uuid), hex);
		n = strcmp(m->type, "btrfs")
			    ? asprintf(&m->fs_id, "%s", hex)
			    : asprintf(&m->fs_id, "%s/%08x%08x", hex, (unsigned)s.f_fsid.__val[0],
				       (unsigned)s.f_fsid.__val[1]);
	} else {
		n = asprintf(&m->fs_id, "%s-%08x%08x", m->type, (unsigned)s.f_fsid.__val[0],
			     (unsigned)s.f_fsid.__val[1]);
	}
	if (n < 0)
		m->fs_id = NULL;
	return n < 0 ? -ENOMEM : 0;
}

VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)

int vu_mount_where(int dirfd, struct vu_mount *ret)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};
	struct vu_stat st;
	int r = vu_stat_fd(dirfd, &st);

	if (r)
		return r;
	if (!st.mount)
		return -ENOSYS;
	m.dev = st.version.dev;
	m.id = st.mount;
	r = find_mount(st.mount, &m);
	if (r)
		return r;
	*ret = m;
	m = (struct vu_mount){0};
	return 0;
}

int vu_mount_of(int dirfd, struct vu_mount *ret)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};
	int r = vu_mount_where(dirfd, &m);

	if (!r)
		r = identify(dirfd, &m);
	if (r)
		return r;
	*ret = m;
	m = (struct vu_mount){0};
	return 0;
}

bool vu_mount_can_link(const struct vu_mount *m)
{
	return !strcmp(m->type, "ext4") || vu_mount_can_reflink(m);
}

bool vu_mount_can_reflink(const struct vu_mount *m)
{
	return !strcmp(m->type, "xfs") || !strcmp(m->type, "btrfs");
}
