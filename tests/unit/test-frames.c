/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mem/frames.h"
#include "mem/maps.h"

/* ---- maps ---- */

static struct vu_map parsed(const char *text, int want)
{
	static char line[256];
	struct vu_map m = {0};

	snprintf(line, sizeof(line), "%s", text);
	assert_int_equal(vu_map_parse(line, &m), want);
	return m;
}

static void test_line(void **state)
{
	struct vu_map m = parsed("00400000-7f00dead1000 r-xs 0001f000 fd:0a 123456789012 "
				 "      /usr/lib/a b\\012 (deleted)",
				 0);

	(void)state;
	assert_int_equal(m.start, 0x400000);
	assert_int_equal(m.end, 0x7f00dead1000);
	assert_int_equal(m.offset, 0x1f000);
	assert_int_equal(m.dev, makedev(0xfd, 0x0a));
	assert_int_equal(m.ino, 123456789012);
	assert_string_equal(m.perms, "r-xs");
	assert_true(m.deleted);
	assert_string_equal(m.path, "/usr/lib/a b\\012");
}

static void test_line_of_memory(void **state)
{
	struct vu_map m = parsed("7ffc0000-7ffd0000 rw-p 00000000 00:00 0 ", 0);

	(void)state;
	assert_string_equal(m.path, "");
	assert_false(m.deleted);
	/* a name that a process gave to its memory is no state of a file */
	assert_false(parsed("1000-2000 rw-p 0 00:00 0 [anon:x (deleted)", 0).deleted);
	m = parsed("7ffc0000-7ffd0000 r-xp 00000000 00:00 0 [vdso]", 0);
	assert_true(vu_map_is_special(&m));
	m = parsed("7ffc0000-7ffd0000 r-xp 00000000 00:00 0 [anon:vdso]", 0);
	assert_false(vu_map_is_special(&m));
}

static void test_no_line(void **state)
{
	static const char *const lines[] = {
		"",
		"x",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 r",
		"1000-2000 r-xp",
		"1000-2000 r-xp 0",
		"1000-2000 r-xp 0 0:",
		"1000-2000 r-xp 0 0:0",
		"1000-2000 r-xp 0 0:0 ",
		"1000-2000 r-xp 0 0:0 x",
		"2000-1000 r-xp 0 0:0 0 ",
		"1000-2000 r-xp0 0 0:0 0 ",
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(lines); i++)
		(void)parsed(lines[i], -EINVAL);
}

/* A task's directory with this as its maps. */
static int task_with(const char *text, size_t n)
{
	static char dir[] = "/tmp/test-frames.XXXXXX";

	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(at, "maps", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, n), n);
	close(fd);
	return at;
}

static void task_gone(int at)
{
	char proc[64], dir[256];

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", at);
	ssize_t n = readlink(proc, dir, sizeof(dir) - 1);

	dir[n > 0 ? n : 0] = 0;
	unlinkat(at, "maps", 0);
	rmdir(dir);
	close(at);
}

struct seen {
	size_t n, n_deleted, n_cut, path;
};

static int see(void *arg, const struct vu_map *m)
{
	struct seen *s = arg;

	s->n++;
	s->n_deleted += m->deleted;
	s->n_cut += m->cut;
	s->path = strlen(m->path);
	return s->n == 1000 ? 7 : 0;
}

static void test_long_lines(void **state)
{
	static char text[60000];
	struct seen s = {0};
	size_t n = 0;

	(void)state;
	for (size_t len = 4000; len < 5000; len += 200) {
		n += (size_t)sprintf(text + n, "1000-2000 r-xp 0 0:1 77 /");
		memset(text + n, 'x', len);
		n += len;
		n += (size_t)sprintf(text + n, "\n");
	}
	int at = task_with(text, n);

	assert_int_equal(vu_maps_each(at, 0, see, &s), 0);
	assert_int_equal(s.n, 5);
	/* of those that are too long nobody knows: whoever asks is to look */
	assert_int_equal(s.n_cut, 3);
	assert_int_equal(s.n_deleted, 3);
	s = (struct seen){0};
	assert_int_equal(vu_maps_each(at, 100, see, &s), 0);
	assert_in_range(s.n, 1, 4);
	task_gone(at);
}

static void test_fn_ends_it(void **state)
{
	static char text[60000];
	struct seen s = {0};
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 2000; i++)
		n += (size_t)sprintf(text + n, "1000-2000 r-xp 0 0:1 77\n");
	/* without a name the kernel pads all the same */
	for (char *p = text; (p = strstr(p, "77\n")); p += 3)
		memcpy(p, "7 \n", 3);
	int at = task_with(text, n);

	assert_int_equal(vu_maps_each(at, 0, see, &s), 7);
	assert_int_equal(s.n, 1000);
	task_gone(at);
}

/* ---- frames ---- */

static struct vu_frames frames;
static int self;

struct sum {
	uint64_t start, end; /* addresses that are asked for */
	size_t present, file, pieces;
	uint64_t pfn[4];
};

static int add(void *arg, uint64_t address, uint64_t *entry, size_t n)
{
	struct sum *s = arg;

	s->pieces++;
	for (size_t i = 0; i < n; i++) {
		uint64_t a = address + i * frames.page;

		if (a < s->start || a >= s->end || !vu_frame_is_present(entry[i]))
			continue;
		if (s->present < VU_ARRAY_SIZE(s->pfn))
			s->pfn[s->present] = vu_frame_number(entry[i]);
		s->present++;
		s->file += vu_frame_is_file(entry[i]);
	}
	return 0;
}

static int add_of_process(void *arg, const struct vu_map *m, uint64_t address, uint64_t *entry,
			  size_t n)
{
	(void)m;
	return add(arg, address, entry, n);
}

static int setup(void **state)
{
	(void)state;
	self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return vu_frames_open(&frames) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	close(self);
	vu_frames_close(&frames);
	return 0;
}

/* Three pages of anonymous memory in a terabyte of nothing, far from each other. */
static void test_sparse(void **state)
{
	size_t size = (size_t)1 << 40, at[] = {0, size / 2 + frames.page, size - frames.page};
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	_cleanup_fd_ int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct sum s = {.start = (uintptr_t)p, .end = (uintptr_t)p + size};

	(void)state;
	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(madvise(p, size, MADV_NOHUGEPAGE), 0);
	for (size_t i = 0; i < VU_ARRAY_SIZE(at); i++)
		p[at[i]] = 1;
	assert_int_equal(vu_frames_read(&frames, pagemap, s.start, s.end, add, &s), 0);
	assert_int_equal(s.present, 3);
	assert_int_equal(s.file, 0);
	if (!frames.scan)
		skip();
	/* all the nothing between was not read */
	assert_in_range(s.pieces, 3, 6);
	munmap(p, size);
}

/* The same pages without the call that finds them. */
static void test_without_scan(void **state)
{
	struct vu_frames plain = frames;
	size_t size = 64 << 20;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	_cleanup_fd_ int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct sum s = {.start = (uintptr_t)p, .end = (uintptr_t)p + size};

	(void)state;
	plain.scan = false;
	assert_int_equal(madvise(p, size, MADV_NOHUGEPAGE), 0);
	p[0] = p[size / 2] = p[size - 1] = 1;
	assert_int_equal(vu_frames_read(&plain, pagemap, s.start, s.end, add, &s), 0);
	assert_int_equal(s.present, 3);
	munmap(p, size);
}

/* A page of a file, mapped twice: one frame, which the kernel says is mapped twice. */
static void test_shared_frame(void **state)
{
	_cleanup_fd_ int fd = memfd_create("shared", MFD_CLOEXEC);
	uint64_t count = 0, flags = 0;
	struct sum s = {0}, t = {0};

	(void)state;
	if (getuid())
		skip();
	assert_int_equal(ftruncate(fd, (off_t)frames.page), 0);
	char *a = mmap(NULL, frames.page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *b = mmap(NULL, frames.page, PROT_READ, MAP_SHARED, fd, 0);

	a[0] = b[0] + 1;
	s.start = (uintptr_t)a;
	t.start = (uintptr_t)b;
	s.end = s.start + frames.page;
	t.end = t.start + frames.page;
	assert_int_equal(vu_frames_process(&frames, self, add_of_process, &s), 0);
	assert_int_equal(vu_frames_process(&frames, self, add_of_process, &t), 0);
	assert_int_equal(s.present, 1);
	assert_int_equal(s.file, 1);
	assert_int_equal(s.pfn[0], t.pfn[0]);
	if (frames.kpageflags < 0 || frames.kpagecount < 0)
		skip();
	assert_int_equal(vu_frames_counts(&frames, s.pfn[0], &count, 1), 1);
	assert_int_equal(count, 2);
	assert_int_equal(vu_frames_flags(&frames, s.pfn[0], &flags, 1), 1);
	assert_false(vu_frame_has(flags, VU_FRAME_ANON));
	assert_true(vu_frame_has(flags, VU_FRAME_SWAPBACKED));
	/* beyond all memory there are no frames, and that is no error */
	assert_int_equal(vu_frames_flags(&frames, UINT64_C(1) << 50, &flags, 1), 0);
	munmap(a, frames.page);
	munmap(b, frames.page);
}

static void test_ended(void **state)
{
	_cleanup_fd_ int dir = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(vu_frames_process(&frames, dir, add_of_process, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),	     cmocka_unit_test(test_line_of_memory),
		cmocka_unit_test(test_no_line),	     cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_fn_ends_it),   cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_without_scan), cmocka_unit_test(test_shared_frame),
		cmocka_unit_test(test_ended),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
