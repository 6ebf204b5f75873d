/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/inuse.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "base/watched.h"
#include "mem/maps.h"

#define SLOTS (2 * VU_INUSE_MAX)
#define MAPS_MAX (UINT64_C(512) << 20)
#define FILTER_BITS (UINT64_C(1) << 19)

struct slot {
	uint64_t dev;
	uint64_t ino; /* 0: free */
};

struct shared {
	_Atomic uint64_t progress;
	size_t now;
	uint32_t n;
	/*
	 * A bit by the hash. Whoever asks asks for all files of the guests, of which few are in use: without it each
	 * question touches another page of the table, which is made for that.
	 */
	uint64_t filter[FILTER_BITS / 64];
	struct slot slot[SLOTS]; /* open addressing */
};

struct vu_inuse {
	const struct vu_replaced_fs *fs; /* borrowed */
	size_t n_fs;
	struct shared *s; /* owned; shared */
	int task_fd;	  /* of the process at hand */
};

struct vu_inuse *vu_inuse_new(const struct vu_replaced_fs *fs, size_t n_fs)
{
	struct vu_inuse *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	*u = (struct vu_inuse){.fs = fs, .n_fs = n_fs, .s = vu_watched_memory(sizeof(*u->s))};
	return u->s ? u : vu_inuse_free(u);
}

struct vu_inuse *vu_inuse_free(struct vu_inuse *u)
{
	if (u && u->s)
		munmap(u->s, sizeof(*u->s));
	free(u);
	return NULL;
}

void vu_inuse_clear(struct vu_inuse *u)
{
	vu_watched_clear(u->s, sizeof(*u->s));
}

const _Atomic uint64_t *vu_inuse_progress(const struct vu_inuse *u)
{
	return &u->s->progress;
}

void vu_inuse_begin(struct vu_inuse *u, size_t guest)
{
	u->s->progress++;
	u->s->now = guest;
}

size_t vu_inuse_guest_at_hand(const struct vu_inuse *u)
{
	return u->s->now;
}

static uint64_t hash(uint64_t dev, uint64_t ino)
{
	return ((ino * 31 + dev) * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
}

/* Its slot, or the free one where it would be. */
static struct slot *find(const struct vu_inuse *u, uint64_t dev, uint64_t ino)
{
	struct slot *s = &u->s->slot[hash(dev, ino) % SLOTS];

	while (s->ino && (s->ino != ino || s->dev != dev))
		s = s + 1 < u->s->slot + SLOTS ? s + 1 : u->s->slot;
	return s;
}

static void note(struct vu_inuse *u, uint64_t dev, uint64_t ino)
{
	struct slot *s = find(u, dev, ino);

	u->s->progress++;
	if (s->ino || u->s->n == VU_INUSE_MAX)
		return;
	uint64_t bit = hash(dev, ino) % FILTER_BITS;

	*s = (struct slot){dev, ino};
	u->s->filter[bit / 64] |= UINT64_C(1) << bit % 64;
	u->s->n++;
}

/* DONT_SYNC: others may be of file systems that a guest serves, or that have gone away. */
static void note_file(struct vu_inuse *u, int dirfd, const char *name)
{
	struct statx stx;

	if (statx(dirfd, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO | STATX_TYPE,
		  &stx) ||
	    !S_ISREG(stx.stx_mode))
		return;
	for (size_t i = 0; i < u->n_fs; i++)
		if (u->fs[i].dev == makedev(stx.stx_dev_major, stx.stx_dev_minor)) {
			note(u, u->fs[i].dev, stx.stx_ino);
			return;
		}
}

static int on_map(void *arg, const struct vu_map *m)
{
	struct vu_inuse *u = arg;
	char path[64];

	for (size_t i = 0; i < u->n_fs; i++) {
		if (!m->ino || u->fs[i].super_dev != m->dev)
			continue;
		if (u->fs[i].dev == m->dev) {
			note(u, m->dev, m->ino);
			break;
		}
		/* btrfs: which subvolume's it is only the file itself says */
		snprintf(path, sizeof(path), "../../map_files/%" PRIx64 "-%" PRIx64, m->start,
			 m->end);
		note_file(u, u->task_fd, path);
		break;
	}
	return 0;
}

int vu_inuse_add(struct vu_inuse *u, int task_fd)
{
	u->task_fd = task_fd;
	int r = vu_maps_each(task_fd, MAPS_MAX, on_map, u);
	_cleanup_fd_ int fd = openat(task_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *e;

	if (vu_is_want(r) || (fd < 0 && vu_is_want(-errno)))
		return vu_is_want(r) ? r : -errno;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return 0;
	fd = -EBADF; /* d's own now */
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			note_file(u, dirfd(d), e->d_name);
	return 0;
}

bool vu_inuse_has(const struct vu_inuse *u, uint64_t dev, uint64_t ino)
{
	uint64_t bit = hash(dev, ino) % FILTER_BITS;

	if (u->s->n == VU_INUSE_MAX)
		return true;
	return u->s->filter[bit / 64] >> bit % 64 & 1 && find(u, dev, ino)->ino;
}
