/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths and memory of a process with a root, mounts and numbers of its own: what it opens itself is what the
 * view opens for it. By which names files were reached: test-view-names.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "view-guest.h"

static char long_path[PATH_MAX], long_magic[PATH_MAX], long_name[NAME_MAX + 3];

static const struct view_row rows[] = {
	{AT_FDCWD, "/file", 0, 0},
	{AT_FDCWD, "file", 0, 0}, /* /dir/sub/file */
	{AT_FDCWD, "./file", 0, 0},
	{AT_FDCWD, "../sub/file", 0, 0},
	{AT_FDCWD, "../../file", 0, 0},
	{AT_FDCWD, "../../../../../file", 0, 0},
	{AT_FDCWD, ".", 0, 0},
	{AT_FDCWD, "..", 0, 0},
	{AT_FDCWD, "/", 0, 0},
	{AT_FDCWD, "//dir//sub//file", 0, 0},
	{AT_FDCWD, "none", 0, ENOENT},
	{AT_FDCWD, "", 0, ENOENT},
	{AT_FDCWD, "/file/", 0, ENOTDIR},
	{AT_FDCWD, "/file/x", 0, ENOTDIR},
	{AT_FDCWD, "/dir/sub/", 0, 0},
	{DIR_FD, "file", 0, 0},
	{DIR_FD, "/file", 0, 0},
	{DIR_FD, "../..", 0, 0},
	{DIR_FD, "", EMPTY, 0},
	{FILE_FD, "", EMPTY, 0},
	{FILE_FD, "", 0, ENOENT},
	{FILE_FD, "x", 0, ENOTDIR},
	{DELETED_FD, "", EMPTY, 0},
	{NO_FD, "x", FAILS, EBADF},
	{NO_FD, "/file", 0, 0},
	{AT_FDCWD, "/absolute", 0, 0},
	{AT_FDCWD, "/absolute", NOFOLLOW, 0},
	{AT_FDCWD, "/relative", 0, 0},
	{AT_FDCWD, "/dir/up", 0, 0},
	{AT_FDCWD, "/dir/up", NOFOLLOW, 0},
	{AT_FDCWD, "/dir/up/file", NOFOLLOW, 0},
	{AT_FDCWD, "/dir/up/", NOFOLLOW, 0},
	{AT_FDCWD, "/out", 0, 0}, /* -> ../../../file: no further than the root */
	{AT_FDCWD, "/loop", 0, ELOOP},
	{AT_FDCWD, "/loop", NOFOLLOW, 0},
	{AT_FDCWD, "/c1", 0, 0}, /* 40 links */
	{AT_FDCWD, "/c0", 0, ELOOP},
	{AT_FDCWD, "/mnt/sub/file", 0, 0},
	{AT_FDCWD, "/mnt/..", 0, 0},
	{AT_FDCWD, "/mnt/up/file", 0, 0},
	{AT_FDCWD, "/bound", 0, 0},
	{AT_FDCWD, "/a\nb", 0, 0},
	{AT_FDCWD, "/x (deleted)", 0, 0},
	{AT_FDCWD, "/x", 0, ENOENT},
	{AT_FDCWD, long_path, 0, 0},
	{AT_FDCWD, long_name, 0, ENAMETOOLONG},
	/* links of the process's own */
	{AT_FDCWD, "/proc/self/fd/11", 0, 0},
	{AT_FDCWD, "/proc/self/fd/11", NOFOLLOW | LOOSE, 0},
	{AT_FDCWD, "/proc/self/fd/11/", FAILS, ENOTDIR},
	{AT_FDCWD, "/magic/", FAILS, ENOTDIR},
	{AT_FDCWD, "/magic-dir/", 0, 0},
	{AT_FDCWD, "/magic-dir/file/", FAILS, ENOTDIR},
	{AT_FDCWD, "/magic-dir/file/x", FAILS, ENOTDIR},
	{AT_FDCWD, "/proc/self/root/relative/", FAILS, ENOTDIR},
	{AT_FDCWD, "/proc/self/fd/12", 0, 0},
	{AT_FDCWD, "/proc/self/fd/13", 0, 0},
	{AT_FDCWD, "/proc/self/fd/99", 0, ENOENT},
	{AT_FDCWD, "/proc/self/fd/10/file", 0, 0},
	{AT_FDCWD, "/proc/self/fd/10/../up/file", 0, 0},
	{AT_FDCWD, "/proc/self/fd/10/none", 0, ENOENT},
	{AT_FDCWD, "/proc//self/./fd//11", 0, 0},
	{AT_FDCWD, "/proc/thread-self/fd/11", 0, 0},
	{AT_FDCWD, "/proc/thread-self/../../fd/11", 0, 0},
	{AT_FDCWD, "/proc/1/fd/11", 0, 0},
	{AT_FDCWD, "/proc/1/task/1/fd/11", 0, 0},
	{AT_FDCWD, "/proc/2/fd/11", 0, ENOENT},
	{AT_FDCWD, "/proc/self/cwd/file", 0, 0},
	{AT_FDCWD, "/proc/self/cwd", 0, 0},
	{AT_FDCWD, "/proc/self/root/file", 0, 0},
	{AT_FDCWD, "/proc/self/root/../file", 0, 0},
	{AT_FDCWD, "/proc/self/exe", 0, 0},
	{AT_FDCWD, "/proc/self", NOFOLLOW | LOOSE, 0},
	{AT_FDCWD, "/proc/self", LOOSE, 0},
	{AT_FDCWD, "/proc/self/status", LOOSE, 0},
	{AT_FDCWD, "/proc/mounts", LOOSE, 0},
	{AT_FDCWD, "/dev/fd/11", 0, 0},
	{AT_FDCWD, "/dev/fd/10/file", 0, 0},
	{AT_FDCWD, "/dev/stdin", 0, 0},
	{AT_FDCWD, "/magic", 0, 0}, /* -> /proc/self/fd/11 */
	{AT_FDCWD, "/magic-dir/file", 0, 0},
	{AT_FDCWD, "/magic-dir/../up/file", NOFOLLOW, 0},
	{AT_FDCWD, "/self", NOFOLLOW, 0}, /* a file of this name, outside of /proc */
	{AT_FDCWD, long_magic, 0, 0},
};

static void fill(char *text, size_t size, const char *begin)
{
	size_t n = strlen(begin), end = size - 1 - strlen("file");

	strcpy(text, begin);
	for (; n + 1 < end; n += 2)
		memcpy(text + n, "./", 2);
	for (; n < end; n++)
		text[n] = '/';
	strcpy(text + n, "file");
}

static int set_up(void **state)
{
	(void)state;
	fill(long_path, sizeof(long_path), "/");
	fill(long_magic, sizeof(long_magic), "/proc/self/fd/10/");
	memset(long_name, 'n', sizeof(long_name) - 1);
	return view_set_up(rows, VU_ARRAY_SIZE(rows));
}

/* ---- paths ---- */

static bool is_right(size_t i, int fd)
{
	const struct view_row *r = &rows[i];
	const struct stat *want = &view_answer(i)->st;
	struct stat st;

	if (view_answer(i)->error != r->error)
		return false;
	if (r->error || fd < 0)
		return r->traits & FAILS ? fd < 0 : fd == -r->error;
	if (fstat(fd, &st) || st.st_dev != want->st_dev || st.st_mode != want->st_mode)
		return false;
	return r->traits & LOOSE || st.st_ino == want->st_ino;
}

static void test_rows(void **state)
{
	unsigned wrong = 0;

	(void)state;
	view_needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		struct vu_stat st;
		_cleanup_fd_ int fd = view_resolve(view_pids[1], rows[i].dirfd, rows[i].text,
						   rows[i].traits, &st);

		if (is_right(i, fd))
			continue;
		print_error("row %zu, '%.60s' of %d: %d, and to the process %d, not %d\n", i,
			    rows[i].text, rows[i].dirfd, fd, view_answer(i)->error, rows[i].error);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static bool is_host_root(void)
{
	struct stat st;

	return !stat("/", &st) && st.st_ino == view_host_root.st_ino &&
	       st.st_dev == view_host_root.st_dev;
}

/* What a quick look says is right, and the thread is where it was. */
static void test_quick_rows(void **state)
{
	unsigned wrong = 0;

	(void)state;
	view_needs_root();
	assert_int_equal(vu_view_leave(view), 0);
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		struct vu_stat st;
		_cleanup_fd_ int fd = view_resolve_how(view_pids[1], rows[i].dirfd, rows[i].text,
						       rows[i].traits, VU_VIEW_QUICKLY, &st);

		assert_true(is_host_root());
		if (fd == -EAGAIN || is_right(i, fd))
			continue;
		print_error("row %zu, '%.60s' of %d: %d, not %d\n", i, rows[i].text, rows[i].dirfd,
			    fd, rows[i].error);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* The same of what is only looked at; again and again, for directories are kept. */
static void test_look(void **state)
{
	unsigned wrong = 0, said = 0;

	(void)state;
	view_needs_root();
	assert_int_equal(vu_view_leave(view), 0);
	for (size_t i = 0; i < 3 * VU_ARRAY_SIZE(rows); i++) {
		size_t k = i % VU_ARRAY_SIZE(rows);
		const struct stat *want = &view_answer(k)->st;
		struct vu_stat st = {0};
		int r = view_look(view_pids[1], rows[k].dirfd, rows[k].text, rows[k].traits, &st);

		assert_true(is_host_root());
		if (r == -EAGAIN)
			continue;
		said++;
		if (rows[k].error
			    ? r < 0 && (rows[k].traits & FAILS || r == -rows[k].error)
			    : !r && st.version.dev == want->st_dev && st.mode == want->st_mode &&
				      st.version.ino == want->st_ino)
			continue;
		print_error("row %zu, '%.60s' of %d: %d, not %d\n", k, rows[k].text, rows[k].dirfd,
			    r, rows[k].error);
		wrong++;
	}
	assert_int_equal(wrong, 0);
	assert_true(said > VU_ARRAY_SIZE(rows));
}

/* Of which paths it says anything, and of which it cannot. */
static void test_quick(void **state)
{
	static const struct {
		const char *text;
		bool is_said;
	} paths[] = {
		{"/file", true},
		{"file", true},
		{"../sub/file", false}, /* out of its directory, and in again */
		{"/dir/sub/../../file", true},
		{"/none", true},
		{"/none/file", true},
		{"/file/x", true},
		{"/absolute", true},
		{"/out", true},
		{"/loop", false},
		{"/mnt/sub/file", true}, /* on a mount, and in the cache */
		{"/proc/none", false},
		{"/proc/self/fd/11", false},
		{"/magic", false},
	};

	(void)state;
	view_needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++) {
		struct vu_stat st;
		_cleanup_fd_ int before =
			view_resolve(view_pids[1], AT_FDCWD, paths[i].text, 0, &st);
		_cleanup_fd_ int fd = view_resolve_how(view_pids[1], AT_FDCWD, paths[i].text, 0,
						       VU_VIEW_QUICKLY, &st);

		(void)before;
		if ((fd != -EAGAIN) != paths[i].is_said)
			fail_msg("'%s': %d", paths[i].text, fd);
	}
}

/* Which descriptor a path has ended by. */
static void test_descriptor(void **state)
{
	static const struct {
		int dirfd;
		const char *text;
		unsigned traits;
		int want;
	} paths[] = {
		{AT_FDCWD, "/proc/self/fd/11", 0, 11},
		{AT_FDCWD, "/file", 0, -1},
		{AT_FDCWD, "/dev/fd/11", 0, 11},
		{AT_FDCWD, "/dev/stdin", 0, 0},
		{AT_FDCWD, "/magic", 0, 11},
		{AT_FDCWD, "/magic", NOFOLLOW, -1},
		{AT_FDCWD, "/proc/self/fd/10/file", 0, -1},
		{AT_FDCWD, "/proc/self/cwd", 0, -1},
		{AT_FDCWD, "/proc/self/fd/99", 0, -1},
		{FILE_FD, "", EMPTY, 11},
		{DIR_FD, "file", EMPTY, -1},
	};

	(void)state;
	view_needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++) {
		struct vu_stat st;
		_cleanup_fd_ int fd = view_resolve(view_pids[0], paths[i].dirfd, paths[i].text,
						   paths[i].traits, &st);

		(void)fd; /* clang does not see that it is closed */
		if (vu_view_descriptor(view) != paths[i].want)
			fail_msg("'%s': %d", paths[i].text, vu_view_descriptor(view));
	}
}

/* From one root into another, and back to the host's, after what succeeds and what does not. */
static void test_roots(void **state)
{
	struct stat a, b, is;
	char path[SCRATCH_PATH_MAX];
	struct vu_stat st;

	(void)state;
	view_needs_root();
	snprintf(path, sizeof(path), "%s/r0/file", view_top);
	assert_int_equal(stat(path, &a), 0);
	snprintf(path, sizeof(path), "%s/r1/file", view_top);
	assert_int_equal(stat(path, &b), 0);
	for (unsigned i = 0; i < 3; i++) {
		_cleanup_fd_ int fd = view_resolve(view_pids[0], AT_FDCWD, "/file", 0, &st);

		assert_true(fd >= 0 && st.version.ino == a.st_ino);
		_cleanup_fd_ int fd2 = view_resolve(view_pids[1], AT_FDCWD, "/file", 0, &st);

		assert_true(fd2 >= 0 && st.version.ino == b.st_ino);
		if (i == 1)
			assert_true(view_resolve(view_pids[1], AT_FDCWD, "/none", 0, &st) ==
				    -ENOENT);
		if (i == 2)
			assert_true(view_resolve(INT_MAX, AT_FDCWD, "/file", 0, &st) < 0);
		assert_int_equal(vu_view_leave(view), 0);
		assert_int_equal(stat("/", &is), 0);
		assert_int_equal(is.st_ino, view_host_root.st_ino);
		assert_int_equal(is.st_dev, view_host_root.st_dev);
		assert_int_equal(stat(".", &is), 0);
		assert_int_equal(is.st_ino, view_host_root.st_ino);
	}
}

static void test_dir(void **state)
{
	static const struct {
		const char *text, *dir, *base;
		int error;
	} paths[] = {
		{"/file", "", "file", 0},
		{"new", "dir/sub", "new", 0},
		{"/dir/up/new", "dir", "new", 0},
		{"/mnt/sub/new", "dir/sub", "new", 0},
		{"/proc/self/cwd/new", "dir/sub", "new", 0},
		{"/magic-dir/new", "dir/sub", "new", 0},
		{"/magic", "", "magic", 0}, /* the link itself */
		{"../new", "dir", "new", 0},
		{"/none/new", "", "", ENOENT},
		{"/file/new", "", "", ENOTDIR},
		{"/proc/self/fd/11/new", "", "", ENOTDIR},
		{"/dir/sub/", "", "", EINVAL},
		{"/dir/.", "", "", EINVAL},
		{"/dir/..", "", "", EINVAL},
		{"/", "", "", EINVAL},
		{"", "", "", EINVAL},
		{long_name, "", "", EINVAL},
	};

	(void)state;
	view_needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++) {
		struct vu_call_path p = {.dirfd = AT_FDCWD};
		char base[NAME_MAX + 1], path[SCRATCH_PATH_MAX];
		struct vu_stat st;
		struct stat want;
		_cleanup_fd_ int fd = vu_view_resolve_dir(view, view_pids[0], &p, paths[i].text,
							  VU_VIEW_WHOLLY, base, &st);

		assert_int_equal(vu_view_leave(view), 0);
		if (fd < 0 || paths[i].error) {
			if (fd != -paths[i].error)
				fail_msg("'%.60s': %d", paths[i].text, fd);
			continue;
		}
		snprintf(path, sizeof(path), "%s/r0/%s", view_top, paths[i].dir);
		assert_int_equal(stat(path, &want), 0);
		assert_int_equal(st.version.ino, want.st_ino);
		assert_string_equal(base, paths[i].base);
	}
}

/* ---- memory ---- */

static void test_memory(void **state)
{
	char buf[PATH_MAX];
	uint64_t page = view_text(), room = 4096;
	/* page aligned within the mapping, as the struct is not: ask for pages of our own */
	char *own =
		mmap(NULL, 4 * room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t me = getpid();

	(void)state;
	view_needs_root();
	assert_int_equal(vu_view_read_path(view_pids[0], page, buf), strlen(VIEW_TEXT));
	assert_string_equal(buf, VIEW_TEXT);

	/* the string ends where the next page is not to be read */
	assert_int_equal(mprotect(own + 2 * room, room, PROT_NONE), 0);
	strcpy(own + 2 * room - 5, "/end");
	uint64_t at = (uint64_t)(uintptr_t)own;

	assert_int_equal(vu_view_read_path(me, at + 2 * room - 5, buf), 4);
	assert_string_equal(buf, "/end");
	assert_int_equal(vu_view_read_path(me, at + 2 * room - 1, buf), 0);
	own[2 * room - 1] = 'x';
	assert_int_equal(vu_view_read_path(me, at + 2 * room - 5, buf), -EFAULT);
	assert_int_equal(vu_view_read_path(me, at + 2 * room, buf), -EFAULT);
	/* over the border of two pages */
	memset(own, 'a', 2 * room);
	own[room + 10] = 0;
	assert_int_equal(vu_view_read_path(me, at + room - 10, buf), 20);
	/* PATH_MAX with its NUL, and one more */
	own[PATH_MAX - 1 + 7] = 0;
	assert_int_equal(vu_view_read_path(me, at + 7, buf), PATH_MAX - 1);
	assert_int_equal(vu_view_read_path(me, at + 6, buf), -ENAMETOOLONG);
	assert_int_equal(vu_view_read_path(me, 0, buf), -EFAULT);
	assert_int_equal(vu_view_read_path(me, 8, buf), -EFAULT);
	assert_int_equal(vu_view_read_path(me, UINT64_MAX - 3, buf), -EFAULT);
	assert_int_equal(vu_view_read_path(me, UINT64_C(0xffff800000000000), buf), -EFAULT);
	assert_int_equal(vu_view_read_path(INT_MAX, at, buf), -ESRCH);

	assert_int_equal(vu_view_read(me, at, buf, 24), 0);
	assert_int_equal(vu_view_read(me, at + 2 * room - 24, buf, 24), 0);
	assert_int_equal(vu_view_read(me, at + 2 * room - 23, buf, 24), -EFAULT);
	assert_int_equal(vu_view_read(me, at + 2 * room, buf, 24), -EFAULT);
	munmap(own, 4 * room);
}

static void test_memory_of_two(void **state)
{
	char a[PATH_MAX], b[PATH_MAX], *const buf[2] = {a, b};
	const uint64_t room = 4096;
	char *own =
		mmap(NULL, 3 * room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t at = (uint64_t)(uintptr_t)own;
	pid_t me = getpid();

	(void)state;
	assert_int_equal(mprotect(own + 2 * room, room, PROT_NONE), 0);
	strcpy(own + 2 * room - 5, "/end");
	strcpy(own + 100, "/begin");
	assert_true(vu_view_read_two(me, (uint64_t[]){at + 100, at + 2 * room - 5}, buf));
	assert_string_equal(a, "/begin");
	assert_string_equal(b, "/end");
	assert_true(vu_view_read_two(me, (uint64_t[]){at + 2 * room - 5, at + 106}, buf));
	assert_string_equal(a, "/end");
	assert_string_equal(b, "");
	assert_false(vu_view_read_two(me, (uint64_t[]){at + 100, at + 2 * room}, buf));
	assert_false(vu_view_read_two(me, (uint64_t[]){0, at + 100}, buf));
	/* one that goes on behind what is read at once, or over the border of pages */
	memset(own + 200, 'a', 300);
	assert_false(vu_view_read_two(me, (uint64_t[]){at + 100, at + 200}, buf));
	memset(own + room - 3, 'a', 6);
	assert_false(vu_view_read_two(me, (uint64_t[]){at + room - 3, at + 100}, buf));
	munmap(own, 3 * room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_rows, view_leave),
		cmocka_unit_test_teardown(test_quick_rows, view_leave),
		cmocka_unit_test_teardown(test_look, view_leave),
		cmocka_unit_test_teardown(test_quick, view_leave),
		cmocka_unit_test_teardown(test_descriptor, view_leave),
		cmocka_unit_test_teardown(test_roots, view_leave),
		cmocka_unit_test_teardown(test_dir, view_leave),
		cmocka_unit_test_teardown(test_memory, view_leave),
		cmocka_unit_test(test_memory_of_two),
	};

	return cmocka_run_group_tests_name("view", tests, set_up, view_tear_down);
}
