/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page table has the number of an area, /proc/swaps only a list of them, in the order of these numbers. They are
 * the same as long as no area was given up before another one; then there is a gap that nothing shows. So, where
 * there are several, a page of our own is pushed out, and looked for where its entry says that it is: that
 * finds gaps before the area that is in use now. (Others are found by entries with a number that no area has.)
 *
 * A slot is a page of the device, or of the file: the kernel takes a file's blocks in their order, and leaves out
 * those that make no whole page, which only blocks smaller than a page can.
 */
#include "mem/swaps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mem/frames.h"

#define PROBE_TRIES 5
#define WRITTEN_TRIES 20
#define WRITTEN_MS 10

/* As the kernel escapes names in lists: a backslash and three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

int vu_swaps_parse(char *line, size_t page, struct vu_swaps_area *ret)
{
	char kind[16];
	uint64_t kib;
	size_t n = strcspn(line, " \t");

	if (!n || line[n] == 0 || sscanf(line + n, " %15s %" SCNu64, kind, &kib) != 2)
		return -EINVAL;
	line[n] = 0;
	unescape(line);
	/* the list leaves out the first page, which is the header */
	*ret = (struct vu_swaps_area){.path = strdup(line),
				      .file = !strcmp(kind, "file"),
				      .fd = -EBADF,
				      .pages = kib * 1024 / page + 1};
	return ret->path ? 0 : -ENOMEM;
}

static bool is_zram(dev_t dev)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/mm_stat", major(dev), minor(dev));
	return !access(path, F_OK);
}

static int open_area(struct vu_swaps_area *a, size_t page, int *ret_err)
{
	struct stat st;
	struct statfs fs;

	a->fd = open(a->path, O_RDONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	*ret_err = 0;
	if (a->fd < 0 || fstat(a->fd, &st) || fstatfs(a->fd, &fs)) {
		*ret_err = -errno;
		return VU_SWAPS_AREA;
	}
	if (a->file ? !S_ISREG(st.st_mode) : !S_ISBLK(st.st_mode)) {
		*ret_err = -ENODEV; /* another file has that name by now */
		return VU_SWAPS_AREA;
	}
	a->zram = !a->file && is_zram(st.st_rdev);
	a->dev = a->file ? st.st_dev : st.st_rdev;
	a->ino = a->file ? st.st_ino : 0;
	return a->file && (size_t)fs.f_bsize < page ? VU_SWAPS_BLOCKS : 0;
}

static int open_areas(struct vu_swaps *s, int *ret_err)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/swaps", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int r = 0;

	if (!f)
		return errno == ENOENT ? 0 : -errno; /* a kernel without swap */
	while (!r && s->n < VU_SWAPS_AREAS_MAX && getline(&line, &size, f) > 0) {
		struct vu_swaps_area *a = &s->area[s->n];

		r = *line == '/' ? vu_swaps_parse(line, s->page, a) : -EINVAL;
		if (r == -EINVAL) { /* the heading */
			r = 0;
			continue;
		}
		if (r)
			break;
		s->n++;
		r = open_area(a, s->page, ret_err);
	}
	return r;
}

/* ---- how they are numbered ---- */

/* Where the page is by now; 0: not swapped out. */
static uint64_t pushed_out(void *page, size_t size)
{
	_cleanup_fd_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0 || madvise(page, size, MADV_PAGEOUT) ||
	    pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / size * sizeof(entry))) !=
		    (ssize_t)sizeof(entry))
		return 0;
	return vu_frame_is_swapped(entry) && !vu_frame_is_present(entry) ? entry : 0;
}

/* Is what was in the page in its slot, after a while? */
static bool is_found(const struct vu_swaps *s, uint64_t entry, const char *copy, void *buf)
{
	for (int i = 0; i < WRITTEN_TRIES; i++) {
		if (vu_swaps_read(s, vu_frame_swap_area(entry), vu_frame_swap_offset(entry), buf,
				  1) == 1 &&
		    !memcmp(buf, copy, s->page))
			return true;
		poll(NULL, 0, WRITTEN_MS);
	}
	return false;
}

/*
 * Nothing is known where the page stays: there may be no room. Each try is with another page: one that somebody still
 * has a hold of (a processor's list of new pages is enough) has a slot, but is not written.
 */
static int try_numbers(const struct vu_swaps *s)
{
	size_t size = s->page, bytes = (PROBE_TRIES + 2) * size;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *copy = p + PROBE_TRIES * size;
	int r = 0;

	if (p == MAP_FAILED)
		return -ENOMEM;
	for (size_t i = 0; i < PROBE_TRIES; i++) {
		char *page = p + i * size;

		if (getrandom(page, size, 0) != (ssize_t)size)
			break;
		memcpy(copy, page, size);
		uint64_t entry = pushed_out(page, size);

		r = !entry || is_found(s, entry, copy, copy + size) ? 0 : VU_SWAPS_NUMBERS;
		if (!r)
			break;
	}
	munmap(p, bytes);
	return r;
}

int vu_swaps_open(struct vu_swaps *ret, int *ret_err)
{
	*ret = (struct vu_swaps){.page = (size_t)sysconf(_SC_PAGESIZE)};
	int r = open_areas(ret, ret_err);

	return r || ret->n < 2 ? r : try_numbers(ret);
}

void vu_swaps_close(struct vu_swaps *s)
{
	for (size_t i = 0; i < s->n; i++) {
		vu_close_p(&s->area[i].fd);
		free(s->area[i].path);
	}
	s->n = 0;
}

long vu_swaps_read(const struct vu_swaps *s, unsigned area, uint64_t slot, void *buf, size_t n)
{
	ssize_t got;

	if (area >= s->n || slot >= s->area[area].pages)
		return 0;
	do {
		got = pread(s->area[area].fd, buf, n * s->page, (off_t)(slot * s->page));
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got / (ssize_t)s->page;
}

/* ---- what the kernel says of it ---- */

/* "NAME VALUE" or "NAME: VALUE kB" */
static uint64_t number_in(const char *path, const char *name)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	size_t n = strlen(name);
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, n) && (line[n] == ' ' || line[n] == ':'))
			return strtoull(line + n + 1, NULL, 10);
	return 0;
}

uint64_t vu_swaps_vmstat(const char *name)
{
	return number_in("/proc/vmstat", name);
}

bool vu_swaps_has_zswap(void)
{
	_cleanup_fd_ int fd = open("/sys/module/zswap/parameters/enabled", O_RDONLY | O_CLOEXEC);
	char c = 0;

	if (fd >= 0 && read(fd, &c, 1) == 1 && c == 'Y')
		return true;
	return number_in("/proc/meminfo", "Zswapped");
}
