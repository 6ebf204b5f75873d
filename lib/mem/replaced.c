/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/PID/map_files/START-END is a link to what is mapped there, whatever its names; unlike in maps, addresses
 * have no leading zeros in it. It is of processes only: a thread's directory is PID/task/TID.
 */
#include "mem/replaced.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "mem/maps.h"

struct looking {
	int task_fd;
	const struct vu_replaced_fs *fs;
	size_t n_fs;
	int (*fn)(void *arg, const struct vu_replaced *r);
	void *arg;
	uint64_t last_ino; /* of the line before, and its device */
	uint64_t last_dev;
};

static bool is_on(const struct looking *l, uint64_t dev)
{
	for (size_t i = 0; i < l->n_fs; i++)
		if (l->fs[i].super_dev == dev)
			return true;
	return false;
}

static bool is_of(const struct looking *l, const struct vu_stat *st)
{
	for (size_t i = 0; i < l->n_fs; i++)
		if (l->fs[i].dev == st->version.dev)
			return S_ISREG(st->mode);
	return false;
}

static int on_map(void *arg, const struct vu_map *m)
{
	struct looking *l = arg;
	bool again = m->ino == l->last_ino && m->dev == l->last_dev;
	char path[64];

	l->last_ino = m->ino;
	l->last_dev = m->dev;
	if (!m->deleted || again || !is_on(l, m->dev))
		return 0;
	snprintf(path, sizeof(path), "../../map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
	_cleanup_fd_ int fd = openat(l->task_fd, path, O_PATH | O_CLOEXEC);
	struct vu_replaced r = {.fd = fd, .path = m->path};

	if (fd < 0 && errno == EPERM)
		return VU_REPLACED_HIDDEN;
	if (fd < 0)
		return vu_is_want(-errno) ? -errno : 0;
	if (vu_stat_fd(fd, &r.st) || !is_of(l, &r.st))
		return 0;
	return l->fn(l->arg, &r);
}

int vu_replaced_each(int task_fd, const struct vu_replaced_fs *fs, size_t n_fs, uint64_t max_bytes,
		     int (*fn)(void *arg, const struct vu_replaced *r), void *arg)
{
	struct looking l = {.task_fd = task_fd, .fs = fs, .n_fs = n_fs, .fn = fn, .arg = arg};
	int r = vu_maps_each(task_fd, max_bytes, on_map, &l);

	return r == -ENOENT || r == -ESRCH || r == -EACCES || r == -EPERM ? 0 : r;
}
