/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File by file, window by window: see mem/file-frames.h for what is touched. */
#include "mem/samepage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "mem/file-frames.h"
#include "mem/frames.h"

#define WINDOW_PAGES VU_FILE_FRAMES_MAX
#define FIRST_PAGES 64 /* read in of the first file where nothing is resident */

struct prove {
	struct vu_samepage *s;
	int *fd;
	struct vu_file_frames frames;
	uint64_t *pfn;	/* WINDOW_PAGES of the file at hand */
	uint64_t *base; /* of the first file; 0: not resident in all so far */
	uint8_t *same;	/* as the first in all so far */
	bool read_first;
};

/* Opens a regular file without ever opening anything else: pinned, checked, then reopened. */
static int open_regular(const char *path, int *ret_fd, uint64_t *ret_size)
{
	_cleanup_fd_ int pin = open(path, O_PATH | O_CLOEXEC);
	char proc[sizeof("/proc/self/fd/") + 11];
	struct stat st;

	if (pin < 0 || fstat(pin, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", pin);
	*ret_fd = open(proc, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	*ret_size = (uint64_t)st.st_size;
	return *ret_fd < 0 ? -errno : 0;
}

/* Fills pfn for n pages of a file from page at on. */
static int window(struct prove *p, size_t file, uint64_t at, size_t n)
{
	size_t read_in = p->read_first && !file && !at ? FIRST_PAGES : 0;
	int r = vu_file_frames_read(&p->frames, p->fd[file], at, n, read_in, p->pfn);

	for (size_t i = 0; !r && i < n; i++)
		p->s->file[file].resident += p->pfn[i] != 0;
	return r == VU_FRAMES_HIDDEN ? VU_SAMEPAGE_HIDDEN : r;
}

static int compare_window(struct prove *p, uint64_t at)
{
	uint64_t common = 0;

	for (size_t f = 0; f < p->s->n; f++) {
		uint64_t left = p->s->file[f].pages > at ? p->s->file[f].pages - at : 0;
		size_t n = (size_t)VU_MIN(left, WINDOW_PAGES);
		int r = n ? window(p, f, at, n) : 0;

		if (r)
			return r;
		common = f ? VU_MIN(common, n) : n;
		for (size_t i = 0; i < common; i++) {
			p->same[i] = f ? p->same[i] && p->base[i] == p->pfn[i] : 1;
			p->base[i] =
				!f || (p->base[i] && p->pfn[i]) ? (f ? p->base[i] : p->pfn[i]) : 0;
		}
	}
	for (size_t i = 0; i < common; i++) {
		p->s->pages_compared += p->base[i] != 0;
		p->s->pages_equal += p->base[i] && p->same[i];
	}
	return 0;
}

static int compare(struct prove *p)
{
	uint64_t most = 0;

	for (size_t f = 0; f < p->s->n; f++) {
		most = VU_MAX(most, p->s->file[f].pages);
		p->s->file[f].resident = 0;
	}
	p->s->pages_compared = p->s->pages_equal = 0;
	for (uint64_t at = 0; at < most; at += WINDOW_PAGES) {
		int r = vu_stop_requested() ? -ECANCELED : compare_window(p, at);

		if (r)
			return r;
	}
	return 0;
}

static bool nothing_resident(const struct vu_samepage *s)
{
	for (size_t f = 0; f < s->n; f++)
		if (s->file[f].resident)
			return false;
	return true;
}

static int prove(struct prove *p, char *const *paths)
{
	bool bad = false;
	int r;

	for (size_t f = 0; f < p->s->n; f++) {
		uint64_t size = 0;

		p->s->file[f].err = open_regular(paths[f], &p->fd[f], &size);
		p->s->file[f].pages = size / p->s->page_bytes + (size % p->s->page_bytes != 0);
		bad = bad || p->s->file[f].err;
	}
	if (bad)
		return VU_SAMEPAGE_FILE;
	r = vu_file_frames_open(&p->frames);
	if (r)
		return r == VU_FRAMES_HIDDEN ? VU_SAMEPAGE_HIDDEN : r;
	r = compare(p);
	if (!r && nothing_resident(p->s)) {
		p->read_first = true;
		r = compare(p);
	}
	return r;
}

int vu_samepage_prove(char *const *paths, size_t n, struct vu_samepage *ret)
{
	struct vu_samepage s = {.n = n, .file = calloc(n, sizeof(*s.file))};
	_cleanup_free_ int *fd = malloc(n * sizeof(*fd));
	_cleanup_free_ uint64_t *pfn = calloc(WINDOW_PAGES, sizeof(*pfn));
	_cleanup_free_ uint64_t *base = calloc(WINDOW_PAGES, sizeof(*base));
	_cleanup_free_ uint8_t *same = calloc(WINDOW_PAGES, 1);
	struct prove p = {.s = &s,
			  .fd = fd,
			  .frames = {.pagemap = -EBADF},
			  .pfn = pfn,
			  .base = base,
			  .same = same};
	int r = n < 2 ? -EINVAL : s.file && fd && pfn && base && same ? 0 : -ENOMEM;

	s.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	for (size_t f = 0; !r && f < n; f++)
		fd[f] = -EBADF;
	if (!r) {
		r = prove(&p, paths);
		for (size_t f = 0; f < n; f++)
			vu_close_p(&fd[f]);
		vu_file_frames_close(&p.frames);
	}
	if (!r || r == VU_SAMEPAGE_FILE)
		*ret = s;
	else
		vu_samepage_done(&s);
	return r;
}

void vu_samepage_done(struct vu_samepage *s)
{
	free(s->file);
	*s = (struct vu_samepage){0};
}
