/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a page takes when it is compressed depends on its content, and pages that are the same are seldom like
 * the others: the mean of all would be wrong for them. So each page's size is estimated (mem/compressed.h), and
 * the scale is taken from the device: its compressed bytes, by mm_stat, by the sum of the estimates of all its
 * pages. Pages that do not compress are kept as they are, and are no part of the scale; where compressing
 * brings less than a ninth, it is not done (zsmalloc's largest class but a page's is 3632 bytes of 4096, with
 * Linux' usual chains of 8 pages).
 *
 * To the tally, a page's program is its estimated size: what merging frees is then told by size.
 */
#include "mem/zram-census.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "base/write.h"
#include "mem/compressed.h"
#include "mem/tally.h"

#define READ_PAGES 256

struct reading {
	int fd;
	size_t page;
	char *buf; /* owned; READ_PAGES */
	struct vu_progress *progress;
	int (*fn)(void *arg, const char *page);
	void *arg;
};

static size_t incompressible(size_t page)
{
	return page / 4096 * 3632;
}

/* Of one word, as zram looks at it. */
static bool is_same(const char *p, size_t bytes)
{
	return !memcmp(p, p + sizeof(long), bytes - sizeof(long));
}

static bool is_zero(const char *p)
{
	unsigned long first;

	memcpy(&first, p, sizeof(first));
	return !first;
}

static int each_page(struct reading *rd, uint64_t size)
{
	int r = 0;

	for (uint64_t at = 0; !r && at < size;) {
		ssize_t n = pread(rd->fd, rd->buf, READ_PAGES * rd->page, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (vu_stop_requested())
			return -ECANCELED;
		if (n < 0)
			return -errno;
		if ((size_t)n < rd->page) /* it has been cut */
			return 0;
		n -= n % (ssize_t)rd->page;
		for (ssize_t i = 0; !r && i < n; i += (ssize_t)rd->page)
			r = rd->fn(rd->arg, rd->buf + i);
		at += (uint64_t)n;
		if (rd->progress)
			vu_progress_add(rd->progress, 0, (uint64_t)n);
	}
	return r;
}

static int read_device(int fd, const struct vu_zram *z, size_t page, struct vu_progress *progress,
		       int (*fn)(void *arg, const char *page), void *arg)
{
	struct reading rd = {fd, page, aligned_alloc(page, READ_PAGES * page), progress, fn, arg};
	int r = rd.buf ? each_page(&rd, z->size) : -ENOMEM;

	free(rd.buf);
	return r;
}

/* ---- counting ---- */

struct counting {
	struct vu_tally *tally;
	struct vu_zram_census found;
	uint64_t small; /* estimated bytes of all pages that compress */
};

static int count(void *arg, const char *content)
{
	struct counting *c = arg;
	size_t page = c->found.page_bytes, size;
	struct vu_tally_page p = {0};

	if (is_same(content, page)) {
		c->found.same += !is_zero(content);
		return 0;
	}
	size = vu_compressed_size(content, page);
	if (size >= incompressible(page))
		size = page;
	else
		c->small += size;
	p.program = (uint16_t)size;
	vu_tally_look(content, page, &p);
	c->found.pages++;
	return vu_tally_add(c->tally, &p, 1);
}

/* Compressed bytes that zram has for each that is estimated, of pages that compress. */
static double scale(const struct counting *c, const struct vu_zram *z)
{
	uint64_t huge = z->huge_pages * c->found.page_bytes;

	return c->small && z->compressed > huge ? (double)(z->compressed - huge) / (double)c->small
						: 1;
}

static void take_sum(struct counting *c, const struct vu_zram *z, const struct vu_tally_sum *s)
{
	size_t page = c->found.page_bytes;
	double saved = s->program[page].freed * (double)page;

	for (size_t size = 0; size < page; size++)
		saved += s->program[size].freed * (double)size * scale(c, z);
	c->found.saved = (uint64_t)(saved + 0.5);
	c->found.distinct = s->distinct;
	c->found.identical = s->identical;
	c->found.freed = s->freed;
	c->found.level = s->level;
}

int vu_zram_census(int fd, const struct vu_zram *z, uint64_t max_bytes,
		   struct vu_progress *progress, struct vu_zram_census *ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct counting c = {.found.page_bytes = page};
	struct vu_tally_sum sum;
	int r = page >= VU_TALLY_PROGRAMS_MAX ? -EOPNOTSUPP
					      : vu_tally_new(max_bytes, 1, page + 1, &c.tally);

	if (!r)
		r = read_device(fd, z, page, progress, count, &c);
	if (!r) {
		vu_tally_end(c.tally, &(struct vu_tally_rules){0}, &sum);
		take_sum(&c, z, &sum);
		vu_tally_sum_done(&sum);
		*ret = c.found;
	}
	vu_tally_free(c.tally);
	return r;
}

/* ---- the proof ---- */

struct content {
	uint32_t hash[3]; /* all zero: none */
};

struct replaying {
	int to;
	size_t page;
	struct content *seen; /* owned; open addressing */
	size_t n, max, slots;
	uint64_t at;
};

/* Returns 1: it is new, 0, or -E2BIG. */
static int see(struct replaying *y, const struct vu_tally_page *p)
{
	struct content *s, c = {{p->hash[0] | 1, p->hash[1], p->hash[2]}};
	size_t i = ((uint64_t)p->hash[1] << 32 | p->hash[2]) % y->slots;

	for (s = &y->seen[i]; s->hash[0]; s = &y->seen[i]) {
		if (!memcmp(s, &c, sizeof(c)))
			return 0;
		i = (i + 1) % y->slots;
	}
	if (++y->n > y->max)
		return -E2BIG;
	*s = c;
	return 1;
}

static int replay(void *arg, const char *content)
{
	struct replaying *y = arg;
	struct vu_tally_page p = {0};

	if (is_same(content, y->page))
		return 0;
	vu_tally_look(content, y->page, &p);
	int r = see(y, &p);

	if (r <= 0)
		return r;
	r = vu_write_all_at(y->to, content, y->page, y->at);
	y->at += y->page;
	return r;
}

int vu_zram_replay(int fd, const struct vu_zram *z, int to, uint64_t max_bytes,
		   struct vu_progress *progress)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	/* room for a half more than there are, as somebody may write to it */
	uint64_t pages = VU_MIN(z->stored / page + z->stored / page / 2, z->size / page) + 1024;
	uint64_t slots = VU_MIN(2 * pages, max_bytes / sizeof(struct content));
	struct replaying y = {.to = to, .page = page, .slots = slots, .max = slots * 3 / 4};

	y.seen = calloc(slots, sizeof(*y.seen));
	int r = y.seen ? read_device(fd, z, page, progress, replay, &y) : -ENOMEM;

	if (!r && fdatasync(to))
		r = -errno;
	free(y.seen);
	return r;
}
