/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replay takes memory, at most as much as the device that it is made for: so much has to be free, with a
 * reserve, and the new device is not given more.
 */
#include "ops/pages-zram.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "mem/zram-census.h"
#include "mem/zram.h"
#include "ops/session.h"

#define REPLAY_MORE (UINT64_C(16) << 20)    /* what an allocator may need more than another */
#define REPLAY_RESERVE (UINT64_C(64) << 20) /* that the host is left besides */

static int open_device(const char *path, struct vu_zram *z, int *ret)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECT | O_NONBLOCK | O_CLOEXEC);
	int r = fd < 0 ? -errno : vu_zram_of(fd, z);

	if (!r)
		*ret = vu_take_fd(fd);
	return r;
}

/* Nothing is opened that is no block device. */
static bool is_zram(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct vu_zram z;
	int r = fd < 0 ? VU_ZRAM_OTHER : vu_zram_of(fd, &z);

	return !r || r == VU_ZRAM_UNSET;
}

bool vu_pages_are_zram(const struct vu_pages_options *o)
{
	for (size_t i = 0; i < o->n; i++)
		if (!is_zram(o->operands[i]))
			return false;
	return o->n;
}

/* ---- the proof ---- */

static uint64_t memory_available(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	uint64_t kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			break;
	return kib * 1024;
}

static int refuse_replay(struct vu_ops *ops, const char *path, int e)
{
	const char *what = "cannot replay the pages of a zram device";

	if (e == -ECANCELED)
		return VU_OPS_CANCELLED;
	if (e == VU_ZRAM_NO_CONTROL)
		return vu_fail(ops, VU_OPS_REFUSED, what, path,
			       "the kernel makes no further zram devices (/sys/class/zram-control)",
			       "leave --replay out");
	if (e == VU_ZRAM_NO_NODE)
		return vu_fail(ops, VU_OPS_REFUSED, what, path,
			       "the device that was made for it is not in /dev",
			       "run where /dev is the kernel's own (devtmpfs)");
	if (e == -E2BIG)
		return vu_fail(ops, VU_OPS_REFUSED, what, path,
			       "to tell which pages are the same takes more memory",
			       "give it more by --max-memory");
	if (e == -ENOMEM || e == -ENOSPC)
		return vu_fail(ops, e, what, path, "the memory for a second device is not there",
			       "try again when more is free, or leave --replay out");
	return vu_fail(ops, e > 0 ? -EIO : e, what, path, NULL, NULL);
}

static int fill(struct vu_ops *ops, int fd, const struct vu_zram *z, uint64_t max_memory,
		struct vu_zram_made *m, struct vu_pages_zram *row)
{
	int r = vu_zram_make(z->size, z->algorithm, z->used + REPLAY_MORE, m);

	if (!r)
		r = vu_zram_replay(fd, z, m->fd, max_memory, ops->progress);
	if (!r)
		r = vu_zram_stat(&m->z);
	if (r)
		return r;
	row->replayed = true;
	row->replay_compressed = m->z.compressed;
	row->replay_used = m->z.used;
	return 0;
}

static int prove(struct vu_ops *ops, int fd, const struct vu_zram *z, uint64_t max_memory,
		 struct vu_pages_zram *row)
{
	struct vu_zram_made m = {.fd = -EBADF, .keep = -EBADF, .answer = -EBADF};
	char name[64];
	int r = z->used + REPLAY_MORE + REPLAY_RESERVE > memory_available() ? -ENOMEM : 0;

	if (!r)
		r = fill(ops, fd, z, max_memory, &m, row);
	snprintf(name, sizeof(name), "/dev/zram%u", m.z.number);
	int left = vu_zram_remove(&m);

	if (r)
		return refuse_replay(ops, row->path, r);
	if (left)
		return vu_fail(ops, left,
			       "cannot remove the zram device that was made for the replay", name,
			       strerror(-left),
			       "write its number to /sys/class/zram-control/hot_remove");
	return 0;
}

/* ---- each ---- */

static int refuse(struct vu_ops *ops, const char *path, int e)
{
	const char *what = "cannot count the pages of a zram device";

	if (e == -ECANCELED)
		return VU_OPS_CANCELLED;
	if (e == VU_ZRAM_UNSET || e == VU_ZRAM_OTHER)
		return vu_fail(ops, VU_OPS_USAGE, what, path,
			       e == VU_ZRAM_UNSET ? "it is not set up: it has no size"
						  : "it is no zram device any more",
			       NULL);
	return vu_fail(ops, e, what, path, NULL, NULL);
}

static int look_at(struct vu_ops *ops, const struct vu_pages_options *o, uint64_t max_memory,
		   struct vu_pages_zram *row)
{
	struct vu_zram_census c = {0};
	struct vu_zram z = {0};
	_cleanup_fd_ int fd = -EBADF;
	int r = open_device(row->path, &z, &fd);

	if (ops->progress)
		vu_progress_begin(ops->progress, VU_PHASE_READ, 0, z.size << o->replay);
	if (!r)
		r = vu_zram_census(fd, &z, max_memory, ops->progress, &c);
	if (r)
		return refuse(ops, row->path, r);
	row->algorithm = strdup(z.algorithm);
	row->stored = z.stored;
	row->compressed = z.compressed;
	row->used = z.used;
	row->pages = c.pages;
	row->filled = z.same_pages;
	row->identical = c.identical;
	row->freed = c.freed;
	row->saved = c.saved;
	row->level = c.level;
	if (!row->algorithm)
		return -ENOMEM;
	return o->replay ? prove(ops, fd, &z, max_memory, row) : 0;
}

int vu_pages_zram(struct vu_ops *ops, const struct vu_pages_options *o, uint64_t max_memory,
		  struct vu_pages_report *ret)
{
	int e = 0;

	ret->of = VU_PAGES_ZRAM;
	ret->zram = calloc(o->n, sizeof(*ret->zram));
	if (!ret->zram)
		return -ENOMEM;
	for (; !e && ret->n_zram < o->n; ret->n_zram++) {
		struct vu_pages_zram *row = &ret->zram[ret->n_zram];

		row->path = strdup(o->operands[ret->n_zram]);
		e = row->path ? look_at(ops, o, max_memory, row) : -ENOMEM;
	}
	return e;
}
