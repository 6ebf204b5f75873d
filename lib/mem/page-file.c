/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holes are found with SEEK_DATA and SEEK_HOLE; what has none of these (devices) is read from begin to end. Their
 * borders are taken as those of pages: a page that is partly in a hole is read.
 */
#include "mem/page-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "fs/pagecache.h"
#include "fs/reopen.h"

#define READ_PAGES 256

struct counting {
	int fd; /* owned */
	uint64_t size;
	size_t page;
	uint16_t owner;
	struct vu_tally *tally;
	struct vu_progress *progress;
	struct vu_quiet_reader reader;
	char *buf; /* owned; READ_PAGES */
	struct vu_page_file found;
};

static int open_file(const char *path, struct counting *c)
{
	_cleanup_fd_ int pin = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	off_t end;

	if (pin < 0 || fstat(pin, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return VU_PAGE_FILE_KIND;
	c->fd = vu_reopen(pin, O_RDONLY);
	if (c->fd < 0)
		return c->fd;
	end = lseek(c->fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	c->size = (uint64_t)end;
	return 0;
}

/* The next range with data at or behind from, in bytes at borders of pages. ret_start: the size if there is none. */
static void next_data(const struct counting *c, uint64_t from, uint64_t *ret_start,
		      uint64_t *ret_end)
{
	off_t data = lseek(c->fd, (off_t)from, SEEK_DATA), hole;

	*ret_start = from;
	*ret_end = c->size;
	if (data < 0) {
		*ret_start = errno == ENXIO ? c->size : from;
		return;
	}
	*ret_start = VU_MAX((uint64_t)data / c->page * c->page, from);
	hole = lseek(c->fd, data, SEEK_HOLE);
	if (hole > data)
		*ret_end = VU_MIN(((uint64_t)hole + c->page - 1) / c->page * c->page, c->size);
}

/* The last page may be a part of one. */
static int add_pages(struct counting *c, size_t bytes)
{
	struct vu_tally_page page[READ_PAGES];
	size_t n = (bytes + c->page - 1) / c->page;

	memset(c->buf + bytes, 0, n * c->page - bytes);
	for (size_t i = 0; i < n; i++) {
		page[i] = (struct vu_tally_page){.owner = c->owner};
		vu_tally_look(c->buf + i * c->page, c->page, &page[i]);
	}
	c->found.pages += n;
	return vu_tally_add(c->tally, page, n);
}

static int count_range(struct counting *c, uint64_t at, uint64_t end)
{
	int r = 0;

	while (!r && at < end) {
		size_t len = (size_t)VU_MIN(end - at, (uint64_t)READ_PAGES * c->page);
		ssize_t n = vu_quiet_read(&c->reader, c->buf, len, at);

		if (vu_stop_requested())
			return -ECANCELED;
		if (n <= 0) /* it has been cut */
			return (int)n;
		r = add_pages(c, (size_t)n);
		at += (uint64_t)n;
		if (c->progress)
			vu_progress_add(c->progress, 0, (uint64_t)n);
	}
	return r;
}

static int count_all(struct counting *c)
{
	uint64_t at = 0, start, end;
	int r = 0;

	while (!r && at < c->size) {
		next_data(c, at, &start, &end);
		c->found.holes += (start - at + c->page - 1) / c->page;
		r = count_range(c, start, end);
		at = VU_MAX(end, start);
	}
	return r;
}

int vu_page_file_count(const char *path, size_t page_bytes, uint16_t owner, struct vu_tally *t,
		       struct vu_progress *progress, struct vu_page_file *ret)
{
	struct counting c = {
		.fd = -EBADF,
		.page = page_bytes,
		.owner = owner,
		.tally = t,
		.progress = progress,
		.buf = malloc(READ_PAGES * page_bytes),
	};
	int r = c.buf ? open_file(path, &c) : -ENOMEM;

	if (!r) {
		vu_quiet_begin(&c.reader, c.fd, c.size, true);
		r = count_all(&c);
		vu_quiet_end(&c.reader);
	}
	vu_close_p(&c.fd);
	free(c.buf);
	if (!r)
		*ret = c.found;
	return r;
}
