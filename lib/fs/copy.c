/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/write.h"
#include "fs/iattr.h"
#include "fs/xattr.h"

#define CHUNK ((size_t)1 << 18)
#define CHUNK_MAX ((size_t)1 << 30) /* of copy_file_range: a signal gets through in between */

/* For file systems where copy_file_range() does not work. */
static int copy_by_hand(int from, int to, off_t at, off_t end)
{
	_cleanup_free_ char *buf = malloc(CHUNK);
	int r = 0;

	if (!buf)
		return -ENOMEM;
	while (!r && at < end) {
		ssize_t n = pread(from, buf, VU_MIN(CHUNK, (size_t)(end - at)), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ESTALE;
		r = vu_write_all_at(to, buf, (size_t)n, (uint64_t)at);
		at += n;
	}
	return r;
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out,
					    VU_MIN(CHUNK_MAX, (size_t)(end - at)), 0);

		if (n > 0) {
			at += n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP &&
		    errno != ENOSYS)
			return -errno;
		return copy_by_hand(from, to, at, end);
	}
	return 0;
}

/* Copies what is data and leaves holes as holes. */
static int copy_sparse(int from, int to, off_t size)
{
	off_t at = 0;
	int r = ftruncate(to, size) ? -errno : 0;

	while (!r && at < size) {
		off_t data = lseek(from, at, SEEK_DATA), hole;

		if (data < 0)
			return errno == ENXIO ? 0 : copy_range(from, to, at, size);
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		if (data >= hole)
			break;
		r = copy_range(from, to, data, hole);
		at = hole;
	}
	return r;
}

/* btrfs takes this flag only while a file is empty, and clones only between files that are equal in it. */
static int copy_nocow(int from, int to)
{
	uint32_t have = 0, want = 0;

	if (vu_iattr_get(from, &want) || vu_iattr_get(to, &have) || !((want ^ have) & FS_NOCOW_FL))
		return 0;
	int flags = (int)(have ^ FS_NOCOW_FL);

	return ioctl(to, FS_IOC_SETFLAGS, &flags) ? -errno : 0;
}

int vu_copy_content(int from, int to, uint64_t size, bool *ret_shared)
{
	struct vu_stat st;
	int r = copy_nocow(from, to);
	bool shared = !r && !ioctl(to, FICLONE, from);

	if (!r && !shared)
		r = copy_sparse(from, to, (off_t)size);
	if (ret_shared)
		*ret_shared = shared;
	if (!r)
		r = vu_stat_fd(to, &st);
	if (!r && st.version.size != size)
		r = -ESTALE;
	if (!r)
		r = vu_stat_fd(from, &st);
	if (!r && st.version.size != size)
		r = -ESTALE;
	return r;
}

static int copy_flags(int from, int to)
{
	uint32_t have = 0, want = 0;
	int r = vu_iattr_get(from, &want);

	if (!r)
		r = vu_iattr_get(to, &have);
	if (r)
		return r == -ENOTTY || r == -EOPNOTSUPP ? 0 : r;
	/* append-only is for who has put all into it; the last two cannot be given to a file like that */
	want = vu_iattr_key_flags(want) & ~(uint32_t)(FS_APPEND_FL | FS_VERITY_FL | FS_ENCRYPT_FL);
	if (want == vu_iattr_key_flags(have))
		return 0;
	int flags = (int)((have & ~vu_iattr_key_flags(have)) | want);

	return ioctl(to, FS_IOC_SETFLAGS, &flags) ? -errno : 0;
}

int vu_copy_metadata(int from, const struct vu_stat *st, int to, size_t max_xattr_bytes)
{
	struct timespec times[2] = {vu_stat_timespec(st->atime_ns),
				    vu_stat_timespec(st->version.mtime_ns)};
	int r;

	/* the owner first: changing it clears set-id bits and file capabilities */
	if (fchown(to, st->uid, st->gid) || fchmod(to, st->mode & 07777))
		return -errno;
	r = vu_xattr_copy(from, to, max_xattr_bytes);
	if (r)
		return r;
	r = copy_flags(from, to);
	if (!r && futimens(to, times))
		r = -errno;
	return r;
}

static ssize_t read_full(int fd, char *buf, size_t len, off_t at)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, buf + got, len - got, at + (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

int vu_copy_equal(int a, int b, uint64_t size)
{
	_cleanup_free_ char *buf = malloc(2 * CHUNK);
	struct vu_stat sa, sb;
	int r = vu_stat_fd(a, &sa);

	if (!buf)
		return -ENOMEM;
	if (!r)
		r = vu_stat_fd(b, &sb);
	if (r)
		return r;
	if (sa.version.size != size || sb.version.size != size)
		return 0;
	for (uint64_t at = 0; at < size; at += CHUNK) {
		ssize_t n = read_full(a, buf, CHUNK, (off_t)at);
		ssize_t m = read_full(b, buf + CHUNK, CHUNK, (off_t)at);

		if (n < 0 || m < 0)
			return n < 0 ? (int)n : (int)m;
		if (n != m || memcmp(buf, buf + CHUNK, (size_t)n))
			return 0;
	}
	return 1;
}
