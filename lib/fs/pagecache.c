/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/pagecache.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Newer than Debian 12's headers. */
#define VU_RWF_DONTCACHE 0x00000080
#define VU_SYS_CACHESTAT 451

struct cachestat_range {
	uint64_t off;
	uint64_t len;
};

struct cachestat_result {
	uint64_t cache;
	uint64_t dirty;
	uint64_t writeback;
	uint64_t evicted;
	uint64_t recently_evicted;
};

static int cached(int fd, uint64_t size, uint64_t *ret_pages)
{
	struct cachestat_range range = {.len = size};
	struct cachestat_result found = {0};

	if (syscall(VU_SYS_CACHESTAT, fd, &range, &found, 0))
		return -errno;
	*ret_pages = found.cache;
	return 0;
}

/* Without cachestat the file counts as warm: dropping pages that others use would be worse. */
static bool is_cold(int fd, uint64_t size)
{
	uint64_t pages = 0;

	return !cached(fd, size, &pages) && !pages;
}

void vu_quiet_begin(struct vu_quiet_reader *q, int fd, uint64_t size, bool try_dontcache)
{
	*q = (struct vu_quiet_reader){.fd = fd, .dontcache = try_dontcache};
	if (!try_dontcache)
		q->was_cold = is_cold(fd, size);
}

static ssize_t read_once(struct vu_quiet_reader *q, void *buf, size_t len, uint64_t offset)
{
	struct iovec v = {.iov_base = buf, .iov_len = len};
	ssize_t n;

	if (!q->dontcache)
		return pread(q->fd, buf, len, (off_t)offset);
	n = preadv2(q->fd, &v, 1, (off_t)offset, VU_RWF_DONTCACHE);
	if (n >= 0 || (errno != EOPNOTSUPP && errno != EINVAL))
		return n;
	q->dontcache = false;
	q->was_cold = is_cold(q->fd, offset + len);
	return pread(q->fd, buf, len, (off_t)offset);
}

ssize_t vu_quiet_read(struct vu_quiet_reader *q, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read_once(q, (char *)buf + done, len - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

void vu_quiet_end(struct vu_quiet_reader *q)
{
	if (!q->dontcache && q->was_cold)
		posix_fadvise(q->fd, 0, 0, POSIX_FADV_DONTNEED);
}

#define WINDOW_PAGES 65536

/* Of one window. */
static int in_core(int fd, uint64_t at, size_t len, uint8_t *core, size_t n, uint64_t *pages)
{
	char *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)at);
	int r = 0;

	if (map == MAP_FAILED)
		return -errno;
	if (mincore(map, len, core))
		r = -errno;
	for (size_t i = 0; !r && i < n; i++)
		*pages += core[i] & 1;
	munmap(map, len);
	return r;
}

static int resident_by_mincore(int fd, uint64_t size, uint64_t *ret_pages)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), pages = 0;
	uint8_t core[WINDOW_PAGES];

	for (uint64_t at = 0; at < size; at += WINDOW_PAGES * page) {
		uint64_t left = size - at,
			 len = left < WINDOW_PAGES * page ? left : WINDOW_PAGES * page;
		int r = in_core(fd, at, (size_t)len, core, (size_t)((len + page - 1) / page),
				&pages);

		if (r)
			return r;
	}
	*ret_pages = pages;
	return 0;
}

int vu_pagecache_resident(int fd, uint64_t size, bool by_mincore, uint64_t *ret_pages)
{
	int r = by_mincore ? -ENOSYS : cached(fd, size, ret_pages);

	return r == -ENOSYS ? resident_by_mincore(fd, size, ret_pages) : r;
}
