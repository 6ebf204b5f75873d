/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/budget.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define SECOND INT64_C(1000000000)
#define SLICE (SECOND / 10) /* of waiting, after which it is looked whether somebody waits still */
#define YEAR                                                                                       \
	(SECOND * 86400 * 365) /* a file of 8 EiB at a byte a second: more than can be counted */

/* What it takes to earn that, in ns. */
static int64_t cost(uint64_t n, uint64_t per_second)
{
	if (!per_second || !n)
		return 0;
	double ns = (double)n / (double)per_second * (double)SECOND;

	return ns < (double)YEAR ? (int64_t)ns : YEAR;
}

int64_t vu_budget_take_within(struct vu_budget *b, uint64_t bytes, int64_t now, int64_t most)
{
	int64_t ns = VU_MAX(cost(1, b->breaks), cost(bytes, b->bytes));
	int64_t due = atomic_load(&b->due), next;

	if (!ns)
		return 0;
	do {
		next = VU_MIN(VU_MAX(due, now - SECOND), now + YEAR) + ns;
		if (next - now > most)
			return -1;
	} while (!atomic_compare_exchange_weak(&b->due, &due, next));
	return VU_MAX(next - now, 0);
}

int64_t vu_budget_take(struct vu_budget *b, uint64_t bytes, int64_t now)
{
	return vu_budget_take_within(b, bytes, now, INT64_MAX);
}

bool vu_budget_wait(struct vu_budget *b, uint64_t bytes, const struct vu_notify *n, uint64_t id)
{
	int64_t ns = b ? vu_budget_take(b, bytes, vu_clock_ns()) : 0;

	if (ns <= 0)
		return true;
	for (; ns > 0 && vu_notify_is_valid(n, id); ns -= SLICE)
		if (nanosleep(&(struct timespec){.tv_nsec = (long)VU_MIN(ns, SLICE)}, NULL))
			break;
	return vu_notify_is_valid(n, id);
}

int vu_budget_room(int fd, uint64_t bytes)
{
	struct statvfs fs;

	if (fstatvfs(fd, &fs))
		return -errno;
	/* where nothing is kept for root, whoever copies is told by the file system itself */
	if (fs.f_bfree == fs.f_bavail)
		return 0;
	return bytes / fs.f_frsize < fs.f_bavail ? 0 : -ENOSPC;
}
