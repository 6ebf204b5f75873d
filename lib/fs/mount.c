/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "base/hex.h"
#include "fs/mountinfo.h"
#include "fs/stat.h"
#include "fs/uuid.h"

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
static int get_uuid(int dirfd, uint8_t *ret_uuid)
{
	/* a descriptor of O_PATH, as roots have, takes no ioctl */
	_cleanup_fd_ int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : vu_uuid_of(fd, ret_uuid);
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
	int r = get_uuid(fd, uuid);

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
