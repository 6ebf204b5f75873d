/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/pool-stamp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "fs/stat.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* readdir(3) has an order of its own: sums do not care. The directory itself is ".". */
static int add_dir(int fd, const char *name, uint64_t old_ns, bool *fresh, uint64_t *sum)
{
	struct vu_stat st;
	int r = vu_stat_at(fd, name, &st);

	if (r)
		return r;
	*fresh |= st.version.mtime_ns > old_ns || st.version.ctime_ns > old_ns;
	*sum += mix(mix(mix(1, st.version.ino), st.version.mtime_ns), st.version.ctime_ns);
	return 0;
}

int vu_pool_stamp(const struct vu_pool *p, uint64_t granularity_ns, uint64_t *ret_stamp)
{
	int fd = openat(vu_pool_fd(p), "objects", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	uint64_t old_ns = vu_clock_real_ns() - granularity_ns, sum = 0;
	const struct dirent *e;
	bool fresh = false;
	int r = 0;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(d)))
		if (e->d_name[0] != '.' || !e->d_name[1])
			r = add_dir(dirfd(d), e->d_name, old_ns, &fresh, &sum);
	if (!r && errno)
		r = -errno;
	if (!r)
		*ret_stamp = fresh ? 0 : sum ? sum : 1;
	return r;
}
