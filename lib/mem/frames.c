/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pagemap has 8 bytes for each page of the address space, whether there is a page or not: reading those of a
 * mapping of a terabyte with nothing in it takes a second. The ioctl PAGEMAP_SCAN (Linux 6.7) gives the ranges
 * where something is, without their frames; so it says what is to be read. Where a mapping is small, it is read
 * at once: two calls cost more than one.
 */
#include "mem/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"

#define ENTRIES 8192 /* read at once: 64 KiB, and 32 MiB of address space with 4 KiB pages */
#define SMALL 512    /* pages of a range that are read without a scan */
#define REGIONS 256  /* of one scan */

/* linux/fs.h has them since 6.7, Debian 12's does not. */
struct scan_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN _IOWR('f', 16, struct scan_arg)
#define SCAN_PRESENT (1 << 3)
#define SCAN_SWAPPED (1 << 4)

struct reading {
	struct vu_frames *f;
	int pagemap;
	int (*fn)(void *arg, uint64_t address, uint64_t *entry, size_t n);
	void *arg;
};

int vu_frames_open(struct vu_frames *f)
{
	*f = (struct vu_frames){
		.kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC),
		.kpagecount = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC),
		.scan = true,
		.page = (size_t)sysconf(_SC_PAGESIZE),
		.entry = malloc(ENTRIES * sizeof(*f->entry)),
	};
	_cleanup_fd_ int own = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	volatile char here = 0; /* a page of ours that is there */
	uint64_t entry;
	off_t at = (off_t)((uintptr_t)&here / f->page * sizeof(entry));

	if (!f->entry)
		return -ENOMEM;
	if (own < 0 || pread(own, &entry, sizeof(entry), at) != sizeof(entry))
		return errno == EACCES || errno == EPERM ? VU_FRAMES_HIDDEN : -errno;
	return vu_frame_number(entry) ? 0 : VU_FRAMES_HIDDEN;
}

void vu_frames_close(struct vu_frames *f)
{
	vu_close_p(&f->kpageflags);
	vu_close_p(&f->kpagecount);
	free(f->entry);
	*f = (struct vu_frames){.kpageflags = -EBADF, .kpagecount = -EBADF};
}

/* Returns as vu_frames_read. */
static int read_all(const struct reading *rd, uint64_t start, uint64_t end)
{
	const struct vu_frames *f = rd->f;
	uint64_t page = start / f->page, stop = end / f->page;
	int r = 0;

	while (!r && page < stop) {
		size_t n = (size_t)VU_MIN(stop - page, ENTRIES);
		ssize_t got = pread(rd->pagemap, f->entry, n * sizeof(*f->entry),
				    (off_t)(page * sizeof(*f->entry)));

		if (vu_stop_requested())
			return -ECANCELED;
		if (got < 0 && errno == EINTR)
			continue;
		n = got > 0 ? (size_t)got / sizeof(*f->entry) : 0;
		if (!n) /* it has ended, or its addresses have */
			return got < 0 && errno != ESRCH ? -errno : 0;
		r = rd->fn(rd->arg, page * f->page, f->entry, n);
		page += n;
	}
	return r;
}

/* Ranges that are close to each other are read together: a call costs as much as some hundred entries. */
static int read_regions(const struct reading *rd, const struct scan_region *v, size_t n)
{
	uint64_t gap = SMALL * rd->f->page;
	int r = 0;

	for (size_t i = 0; !r && i < n;) {
		size_t last = i;

		while (last + 1 < n && v[last + 1].start - v[last].end <= gap)
			last++;
		r = read_all(rd, v[i].start, v[last].end);
		i = last + 1;
	}
	return r;
}

/* Returns 0, what fn returned, or a negative errno; -ENOTTY where there is no such call. */
static int read_scanned(const struct reading *rd, uint64_t start, uint64_t end)
{
	struct scan_region region[REGIONS];
	int r = 0;

	while (!r && start < end) {
		struct scan_arg a = {
			.size = sizeof(a),
			.start = start,
			.end = end,
			.vec = (uintptr_t)region,
			.vec_len = REGIONS,
			.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
			.return_mask = SCAN_PRESENT | SCAN_SWAPPED,
		};
		int n = ioctl(rd->pagemap, SCAN, &a);

		if (vu_stop_requested())
			return -ECANCELED;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ESRCH ? 0 : -errno;
		if (a.walk_end <= start)
			return -EIO;
		r = read_regions(rd, region, (size_t)n);
		start = a.walk_end;
	}
	return r;
}

int vu_frames_read(struct vu_frames *f, int pagemap, uint64_t start, uint64_t end,
		   int (*fn)(void *arg, uint64_t address, uint64_t *entry, size_t n), void *arg)
{
	struct reading rd = {f, pagemap, fn, arg};

	if (f->scan && end - start > SMALL * f->page) {
		int r = read_scanned(&rd, start, end);

		if (r != -ENOTTY)
			return r;
		f->scan = false;
	}
	return read_all(&rd, start, end);
}

/* ---- a process ---- */

struct walking {
	struct vu_frames *f;
	int pagemap;
	const struct vu_map *map;
	int (*fn)(void *arg, const struct vu_map *m, uint64_t address, uint64_t *entry, size_t n);
	void *arg;
};

static int on_piece(void *arg, uint64_t address, uint64_t *entry, size_t n)
{
	const struct walking *w = arg;

	return w->fn(w->arg, w->map, address, entry, n);
}

static int on_map(void *arg, const struct vu_map *m)
{
	struct walking *w = arg;

	w->map = m;
	return vu_map_is_special(m)
		       ? 0
		       : vu_frames_read(w->f, w->pagemap, m->start, m->end, on_piece, w);
}

int vu_frames_process(struct vu_frames *f, int task_fd,
		      int (*fn)(void *arg, const struct vu_map *m, uint64_t address,
				uint64_t *entry, size_t n),
		      void *arg)
{
	_cleanup_fd_ int pagemap = openat(task_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	struct walking w = {.f = f, .pagemap = pagemap, .fn = fn, .arg = arg};

	return pagemap < 0 ? -errno : vu_maps_each(task_fd, 0, on_map, &w);
}

/* ---- frames ---- */

static long read_words(int fd, uint64_t pfn, uint64_t *ret, size_t n)
{
	ssize_t got = pread(fd, ret, n * sizeof(*ret), (off_t)(pfn * sizeof(*ret)));

	/* beyond the end of memory */
	if (got < 0 && errno == EINVAL)
		return 0;
	return got < 0 ? -errno : (long)((size_t)got / sizeof(*ret));
}

long vu_frames_flags(const struct vu_frames *f, uint64_t pfn, uint64_t *ret, size_t n)
{
	return read_words(f->kpageflags, pfn, ret, n);
}

long vu_frames_counts(const struct vu_frames *f, uint64_t pfn, uint64_t *ret, size_t n)
{
	return read_words(f->kpagecount, pfn, ret, n);
}
