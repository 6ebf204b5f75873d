/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Areas of swap: what /proc/swaps says, and what is in their slots; and sizes of compressed pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem/census-process.h"
#include "mem/compressed.h"
#include "mem/frames.h"
#include "mem/swaps.h"

#define SAMPLE 600

/* What happens behind a slot's being read. */
static void (*after_read)(void);

long __real_vu_swaps_read(const struct vu_swaps *s, unsigned area, uint64_t slot, void *buf,
			  size_t n);
long __wrap_vu_swaps_read(const struct vu_swaps *s, unsigned area, uint64_t slot, void *buf,
			  size_t n);

long __wrap_vu_swaps_read(const struct vu_swaps *s, unsigned area, uint64_t slot, void *buf,
			  size_t n)
{
	long r = __real_vu_swaps_read(s, area, slot, buf, n);

	if (after_read)
		after_read();
	return r;
}

static int parse(const char *line, struct vu_swaps_area *ret)
{
	char *copy = strdup(line);
	int r;

	assert_non_null(copy);
	r = vu_swaps_parse(copy, 4096, ret);
	free(copy);
	return r;
}

static void lines(void **state)
{
	struct vu_swaps_area a;

	(void)state;
	assert_int_equal(parse("/dev/zram0\t\t\t\tpartition\t98300\t\t32000\t\t-2\n", &a), 0);
	assert_string_equal(a.path, "/dev/zram0");
	assert_false(a.file);
	assert_int_equal(a.pages, 24576);
	free(a.path);
	assert_int_equal(parse("/a\\040b\\134\\012 file 4092 0 1", &a), 0);
	assert_string_equal(a.path, "/a b\\\n");
	assert_true(a.file);
	assert_int_equal(a.pages, 1024);
	free(a.path);
	/* no escapes, and no end of the line is passed */
	assert_int_equal(parse("/a\\4 file 4 0 1", &a), 0);
	assert_string_equal(a.path, "/a\\4");
	free(a.path);
	assert_int_equal(parse("/a\\04 file 4 0 1", &a), 0);
	assert_string_equal(a.path, "/a\\04");
	free(a.path);
	assert_int_equal(parse("Filename\tType\tSize\tUsed\tPriority\n", &a), -EINVAL);
	assert_int_equal(parse("/dev/sda", &a), -EINVAL);
	assert_int_equal(parse("", &a), -EINVAL);
}

static void entries(void **state)
{
	struct vu_swaps s = {.n = 1};

	(void)state;
	assert_int_equal(vu_swaps_index(&s, 7), 0);
	s.n = 2;
	assert_int_equal(vu_swaps_index(&s, 7), 7);
	assert_int_not_equal(vu_swaps_number(1, 0), vu_swaps_number(0, 1));
}

static void fill(unsigned char *p, size_t n)
{
	uint64_t x = 88172645463325252;

	for (size_t i = 0; i < n; i += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(p + i, &x, sizeof(x));
	}
}

/* Where pages of this process are, once they are swapped out; 0: they are not. */
static bool push_out(const unsigned char *p, size_t page, uint64_t *entry)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool out = false;

	assert_true(fd >= 0);
	for (int tries = 0; !out && tries < 100; tries++) {
		assert_int_equal(madvise((void *)(uintptr_t)p, SAMPLE * page, MADV_PAGEOUT), 0);
		assert_int_equal(pread(fd, entry, SAMPLE * sizeof(*entry),
				       (off_t)((uintptr_t)p / page * sizeof(*entry))),
				 SAMPLE * sizeof(*entry));
		out = true;
		for (size_t i = 0; i < SAMPLE; i++)
			out = out && vu_frame_is_swapped(entry[i]) &&
			      !vu_frame_is_present(entry[i]);
		if (!out)
			usleep(10000);
	}
	close(fd);
	return out;
}

/* Pages that are new on another processor's list would get slots, but not be written. */
static void stay(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void need_area(struct vu_swaps *s)
{
	int err;

	if (!geteuid() && !vu_swaps_has_zswap() && !vu_swaps_open(s, &err) && s->n)
		return;
	print_message("# skip: needs root and swap; tests/cli/pages-swap.bats makes an area\n");
	skip();
}

static void slots_are_pages(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	static uint64_t entry[SAMPLE];
	struct vu_swaps s;

	(void)state;
	need_area(&s);
	unsigned char *p = mmap(NULL, SAMPLE * page, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *slots = aligned_alloc(page, SAMPLE * page);

	assert_true(p != MAP_FAILED && slots);
	stay();
	madvise(p, SAMPLE * page, MADV_NOHUGEPAGE);
	fill(p, SAMPLE * page);
	if (!push_out(p, page, entry)) {
		print_message("# skip: the kernel keeps the pages in memory\n");
		skip();
	}
	sleep(1); /* a disk writes behind our back */
	for (size_t i = 0; i < SAMPLE; i++)
		assert_int_equal(vu_swaps_read(&s, vu_swaps_index(&s, vu_frame_swap_area(entry[i])),
					       vu_frame_swap_offset(entry[i]), slots + i * page, 1),
				 1);
	/* nothing was swapped in by that; now it is */
	static uint64_t again[SAMPLE];

	assert_true(push_out(p, page, again));
	assert_memory_equal(entry, again, sizeof(entry));
	assert_memory_equal(p, slots, SAMPLE * page);
	assert_int_equal(vu_swaps_read(&s, 0, UINT64_MAX >> 13, slots, 1), 0);
	free(slots);
	munmap(p, SAMPLE * page);
	vu_swaps_close(&s);
}

static unsigned char *touched; /* SAMPLE pages */

static void touch(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < SAMPLE; i++)
		touched[i * page]++;
}

static void look_at_self(const struct vu_swaps *s, struct vu_census_counts *counts,
			 struct vu_tally_sum *sum)
{
	struct vu_frame_set seen;
	struct vu_tally *t = NULL;
	_Atomic uint64_t beat = 0;
	int fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(vu_frame_set_init(&seen), 0);
	assert_int_equal(vu_tally_new(0, 1, 1, &t), 0);
	struct vu_census_reader rd = {
		.seen = &seen, .tally = t, .beat = &beat, .swap = s, .pidfd = -EBADF};

	assert_int_equal(vu_census_reader_init(&rd), 0);
	assert_int_equal(vu_census_process(&rd, fd, 0, 0, counts), 0);
	vu_census_reader_done(&rd);
	vu_tally_end(t, &(struct vu_tally_rules){0}, sum);
	vu_tally_free(t);
	vu_frame_set_done(&seen);
	close(fd);
}

/* A slot is another's by the time it is read. */
static void elsewhere_meanwhile(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	static uint64_t entry[SAMPLE];
	struct vu_swaps s;

	(void)state;
	need_area(&s);
	touched = mmap(NULL, SAMPLE * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	assert_true(touched != MAP_FAILED);
	stay();
	madvise(touched, SAMPLE * page, MADV_NOHUGEPAGE);
	for (int i = 0; i < 2; i++) {
		struct vu_census_counts counts = {0};
		struct vu_tally_sum sum;

		fill(touched, SAMPLE * page);
		if (!push_out(touched, page, entry)) {
			print_message("# skip: the kernel keeps the pages in memory\n");
			skip();
		}
		after_read = i ? touch : NULL;
		look_at_self(&s, &counts, &sum);
		after_read = NULL;
		assert_int_equal(counts.moved, i ? SAMPLE : 0);
		assert_int_equal(sum.pages, i ? 0 : SAMPLE);
		vu_tally_sum_done(&sum);
	}
	munmap(touched, SAMPLE * page);
	vu_swaps_close(&s);
}

static void sizes(void **state)
{
	static unsigned char p[4096];

	(void)state;
	assert_true(vu_compressed_size(p, sizeof(p)) < 40);
	fill(p, sizeof(p));
	assert_int_equal(vu_compressed_size(p, sizeof(p)), sizeof(p));
	/* half of it again: that much less */
	memcpy(p + 2048, p, 2048);
	size_t half = vu_compressed_size(p, sizeof(p));

	assert_true(half > 2048 && half < 2048 + 40);
	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = "abcdefgh"[i % 8];
	assert_true(vu_compressed_size(p, sizeof(p)) < 50);
	/* what matches until the end of the page, and not beyond */
	fill(p, sizeof(p));
	memcpy(p + sizeof(p) - 3, p, 3);
	assert_int_equal(vu_compressed_size(p, sizeof(p)), sizeof(p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),	   cmocka_unit_test(entries),
		cmocka_unit_test(slots_are_pages), cmocka_unit_test(elsewhere_meanwhile),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
