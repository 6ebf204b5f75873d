/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A number of an inode is used again when its file is gone. What tells one file from the next is the generation,
 * which ext4 and XFS choose anew for each file and btrfs takes from the transaction that made it (where numbers are
 * not used again, but each subvolume counts for itself). Read from the kernel's inode in all three (FS_IOC_GETVERSION
 * gives i_generation), and kept on the disk. A snapshot of a subvolume has files with the same mark: they are as
 * little to be changed as copies of an immutable flag would be.
 */
#include "fs/guard.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/stat.h"
#include "fs/uuid.h"

#define PATIENCE 50 /* times a millisecond */

/* EXT4_IOC_GETFSUUID of Linux 6.0, which is not in libc6-dev. Its header is followed by the UUID. */
struct ext4_fsuuid {
	uint32_t len;
	uint32_t flags;
	uint8_t uuid[16];
};
#define EXT4_GETFSUUID _IOR('f', 44, uint32_t[2])

/*
 * What the kernel has as s_uuid. A file system is known by something else in the catalog (fs/mount.h), which an
 * upgrade of the kernel must not change.
 */
static int uuid_of(int fd, uint8_t *ret_uuid)
{
	struct ext4_fsuuid e = {.len = sizeof(e.uuid)};
	int r = vu_uuid_of(fd, ret_uuid);

	if (r)
		return r < 0 ? r : 0;
	if (ioctl(fd, EXT4_GETFSUUID, &e) || e.len != sizeof(e.uuid))
		return -EOPNOTSUPP;
	memcpy(ret_uuid, e.uuid, sizeof(e.uuid));
	return 0;
}

int vu_guard_mark_of(int fd, struct vu_guard_mark *ret)
{
	struct vu_guard_mark mark = {0};
	struct vu_stat st;
	int generation[2] = {0}; /* the request's type says long, the kernel writes an int */
	int r = vu_stat_fd(fd, &st);

	if (!r)
		r = uuid_of(fd, mark.fs);
	if (r)
		return r;
	if (ioctl(fd, FS_IOC_GETVERSION, generation))
		return errno == ENOTTY ? -EOPNOTSUPP : -errno;
	mark.ino = st.version.ino;
	mark.generation = (uint32_t)generation[0];
	*ret = mark;
	return 0;
}

int vu_guard_pool_of(int fd, struct vu_guard_pool *ret)
{
	struct statfs s;
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (!r && fstatfs(fd, &s))
		r = -errno;
	if (r)
		return r;
	ret->fs_id = (uint64_t)(uint32_t)s.f_fsid.__val[0] << 32 | (uint32_t)s.f_fsid.__val[1];
	ret->ino = st.version.ino;
	return 0;
}

static int bpf(int cmd, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

static uint64_t address(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

bool vu_guard_dir_is_safe(const struct stat *st)
{
	return S_ISDIR(st->st_mode) && !st->st_uid && !(st->st_mode & 0077);
}

int vu_guard_open(void)
{
	union bpf_attr a;
	struct stat dir;

	if (stat(VU_GUARD_DIR, &dir))
		return -errno;
	/* everybody may make directories where it is */
	if (!vu_guard_dir_is_safe(&dir))
		return -EPERM;
	memset(&a, 0, sizeof(a));
	a.pathname = address(VU_GUARD_MARKS);
	return bpf(BPF_OBJ_GET, &a); /* descriptors of bpf(2) are O_CLOEXEC */
}

bool vu_guard_is_there(void)
{
	_cleanup_fd_ int map = vu_guard_open();

	return map >= 0;
}

static union bpf_attr element(int map, const struct vu_guard_mark *mark,
			      const struct vu_guard_pool *value)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)map;
	a.key = address(mark);
	a.value = address(value);
	return a;
}

int vu_guard_has(int map, const struct vu_guard_mark *mark)
{
	struct vu_guard_pool value = {0};
	union bpf_attr a = element(map, mark, &value);
	int r = bpf(BPF_MAP_LOOKUP_ELEM, &a);

	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int vu_guard_add(int map, const struct vu_guard_mark *mark, const struct vu_guard_pool *pool)
{
	union bpf_attr a = element(map, mark, pool);

	return bpf(BPF_MAP_UPDATE_ELEM, &a);
}

int vu_guard_drop(int map, const struct vu_guard_mark *mark)
{
	union bpf_attr a = element(map, mark, NULL);
	int r = bpf(BPF_MAP_DELETE_ELEM, &a);

	return r == -ENOENT ? 0 : r;
}

int vu_guard_next(int map, const struct vu_guard_mark *prev, struct vu_guard_mark *ret)
{
	union bpf_attr a = element(map, prev, NULL);

	a.next_key = address(ret);
	return bpf(BPF_MAP_GET_NEXT_KEY, &a);
}

static int pool_of(int map, const struct vu_guard_mark *mark, struct vu_guard_pool *ret)
{
	union bpf_attr a = element(map, mark, ret);

	return bpf(BPF_MAP_LOOKUP_ELEM, &a);
}

static bool is_of(int map, const struct vu_guard_mark *mark, const struct vu_guard_pool *pool)
{
	struct vu_guard_pool value = {0};

	return !pool_of(map, mark, &value) && value.fs_id == pool->fs_id && value.ino == pool->ino;
}

int vu_guard_forget(int map, const struct vu_guard_pool *pool)
{
	struct vu_guard_mark mark, next;
	int r = vu_guard_next(map, NULL, &mark), more = r;

	/* the next one first: behind one that is not there comes the first again */
	for (r = 0; !r && !more; mark = next) {
		more = vu_guard_next(map, &mark, &next);
		if (is_of(map, &mark, pool))
			r = vu_guard_drop(map, &mark);
	}
	return r ? r : more == -ENOENT ? 0 : more;
}

bool vu_guard_holds(int fd)
{
	_cleanup_fd_ int map = vu_guard_open();
	struct vu_guard_mark mark;

	return map >= 0 && !vu_guard_mark_of(fd, &mark) && vu_guard_has(map, &mark) == 1;
}

bool vu_guard_or_flag_holds(int fd, const struct vu_stat *st)
{
	return st->attributes & STATX_ATTR_IMMUTABLE || vu_guard_holds(fd);
}

int vu_guard_or_flag(int fd)
{
	int r = vu_iattr_set_immutable(fd, true);

	/* flags are among what a mark keeps from being changed */
	return r == -EPERM && vu_guard_holds(fd) ? 0 : r;
}

int vu_guard_lease(int fd)
{
	int r = vu_lease_take(fd);

	for (int i = 0; r == VU_LEASE_BUSY && i < PATIENCE && vu_guard_holds(fd); i++) {
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		r = vu_lease_take(fd);
	}
	return r;
}

void vu_guard_release(int fd)
{
	_cleanup_fd_ int map = vu_guard_open();
	struct vu_guard_mark mark;

	if (map >= 0 && !vu_guard_mark_of(fd, &mark))
		(void)vu_guard_drop(map, &mark);
}

void vu_guard_retire(int fd)
{
	_cleanup_fd_ int map = vu_guard_open();
	struct vu_guard_pool pool = {0};
	struct vu_guard_mark mark;

	if (map < 0 || vu_guard_mark_of(fd, &mark) || pool_of(map, &mark, &pool))
		return;
	pool.retired = 1;
	(void)vu_guard_add(map, &mark, &pool);
}
