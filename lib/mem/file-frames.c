/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mincore() says what is resident; these pages, and no others, are mapped with MADV_POPULATE_READ (Linux 5.14),
 * which answers -EFAULT where a load would raise SIGBUS because the file was cut meanwhile. Then
 * /proc/self/pagemap has the numbers; of what is present they are zero without CAP_SYS_ADMIN.
 */
#include "mem/file-frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mem/frames.h"

int vu_file_frames_open(struct vu_file_frames *f)
{
	*f = (struct vu_file_frames){
		.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC),
		.page = (size_t)sysconf(_SC_PAGESIZE),
	};
	if (f->pagemap < 0)
		return errno == EACCES || errno == EPERM ? VU_FRAMES_HIDDEN : -errno;
	f->core = calloc(VU_FILE_FRAMES_MAX, 1);
	return f->core ? 0 : -ENOMEM;
}

void vu_file_frames_close(struct vu_file_frames *f)
{
	vu_close_p(&f->pagemap);
	free(f->core);
	f->core = NULL;
}

/* Maps the resident pages into the page table; what goes away meanwhile is just not there. */
static void populate(const struct vu_file_frames *f, char *map, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t run = i;

		while (run < n && f->core[run] & 1)
			run++;
		if (run > i)
			(void)madvise(map + i * f->page, (run - i) * f->page, MADV_POPULATE_READ);
		i = run + 1;
	}
}

static int read_numbers(const struct vu_file_frames *f, const char *map, size_t n, uint64_t *ret)
{
	off_t at = (off_t)((uintptr_t)map / f->page * sizeof(*ret));
	ssize_t got = pread(f->pagemap, ret, n * sizeof(*ret), at);

	if (got < 0)
		return errno == EPERM ? VU_FRAMES_HIDDEN : -errno;
	if ((size_t)got != n * sizeof(*ret))
		return -EIO;
	for (size_t i = 0; i < n; i++) {
		bool present = vu_frame_is_present(ret[i]);

		ret[i] = present ? vu_frame_number(ret[i]) : 0;
		if (present && !ret[i])
			return VU_FRAMES_HIDDEN;
	}
	return 0;
}

int vu_file_frames_read(const struct vu_file_frames *f, int fd, uint64_t first, size_t n,
			size_t read_in, uint64_t *ret)
{
	char *map = mmap(NULL, n * f->page, PROT_READ, MAP_SHARED, fd, (off_t)(first * f->page));
	int r;

	if (map == MAP_FAILED)
		return -errno;
	/* Accesses in no order: nothing is read ahead. */
	(void)madvise(map, n * f->page, MADV_RANDOM);
	if (read_in)
		(void)madvise(map, VU_MIN(n, read_in) * f->page, MADV_POPULATE_READ);
	if (mincore(map, n * f->page, f->core)) {
		r = -errno;
	} else {
		populate(f, map, n);
		r = read_numbers(f, map, n, ret);
	}
	munmap(map, n * f->page);
	return r;
}
