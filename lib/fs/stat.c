/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define EARLIEST (-INT64_C(2147483648)) /* seconds */
#define LATEST INT64_C(16299260424)

/* Times before 1970 wrap, and are above all that come after. */
static uint64_t ns(const struct statx_timestamp *t)
{
	if (t->tv_sec < EARLIEST || t->tv_sec > LATEST)
		return VU_TIME_BEYOND;
	return (uint64_t)t->tv_sec * UINT64_C(1000000000) + t->tv_nsec;
}

static int get(int fd, const char *name, int flags, struct vu_stat *ret)
{
	struct statx sx;

	if (statx(fd, name, flags | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		  STATX_BASIC_STATS | STATX_MNT_ID, &sx))
		return errno == ESTALE ? -EIO : -errno;
	*ret = (struct vu_stat){
		.version =
			{
				.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
				.ino = sx.stx_ino,
				.size = sx.stx_size,
				.mtime_ns = ns(&sx.stx_mtime),
				.ctime_ns = ns(&sx.stx_ctime),
			},
		.mode = sx.stx_mode,
		.uid = sx.stx_uid,
		.gid = sx.stx_gid,
		.n_links = sx.stx_nlink,
		.blocks = sx.stx_blocks,
		.atime_ns = ns(&sx.stx_atime),
		.attributes = sx.stx_attributes,
		.mount = sx.stx_mask & STATX_MNT_ID ? sx.stx_mnt_id : 0,
	};
	return 0;
}

struct timespec vu_stat_timespec(uint64_t ns)
{
	const uint64_t second = UINT64_C(1000000000);

	if (ns < VU_TIME_BEYOND)
		return (struct timespec){.tv_sec = (time_t)(ns / second),
					 .tv_nsec = (long)(ns % second)};
	if (ns == VU_TIME_BEYOND)
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	/* what is missing to 1970, rounded up to seconds */
	uint64_t before = (~ns + second) / second;

	return (struct timespec){.tv_sec = -(time_t)before,
				 .tv_nsec = (long)(ns + before * second)};
}

int vu_stat_fd(int fd, struct vu_stat *ret)
{
	return get(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, ret);
}

int vu_stat_at(int dirfd, const char *name, struct vu_stat *ret)
{
	return get(dirfd, name, AT_SYMLINK_NOFOLLOW, ret);
}

int vu_stat_born(int dirfd, const char *name, uint64_t *ret_ns)
{
	struct statx sx;

	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		  STATX_BTIME, &sx))
		return errno == ESTALE ? -EIO : -errno;
	*ret_ns = sx.stx_mask & STATX_BTIME ? ns(&sx.stx_btime) : 0;
	return 0;
}

int vu_stat_follow(int dirfd, const char *name, struct vu_stat *ret)
{
	return get(dirfd, name, 0, ret);
}

struct vu_attr vu_stat_attr(const struct vu_stat *st)
{
	return (struct vu_attr){.mode = st->mode, .uid = st->uid, .gid = st->gid};
}
