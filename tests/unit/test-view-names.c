/* SPDX-License-Identifier: GPL-2.0-or-later */
/* By which name in which directory a process has reached a file, and by which mount that can be changed. */
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
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "link-farm.h"
#include "view-guest.h"

static int set_up(void **state)
{
	(void)state;
	return view_set_up(NULL, 0);
}

/* Returns what vu_view_parent does, with the fd closed, or 0; and the name. */
static int parent_of(const char *text, char *base, uint64_t *ret_dir)
{
	struct vu_stat st, dir_st;
	_cleanup_fd_ int fd = view_resolve(view_pids[0], AT_FDCWD, text, 0, &st);

	assert_true(fd >= 0);
	_cleanup_fd_ int dir = vu_view_parent(view, fd, base);

	if (dir < 0)
		return dir;
	assert_int_equal(vu_stat_fd(dir, &dir_st), 0);
	*ret_dir = dir_st.version.ino;
	assert_int_equal(vu_stat_at(dir, base, &dir_st), 0);
	assert_int_equal(dir_st.version.ino, st.version.ino);
	return 0;
}

static void test_parent(void **state)
{
	static const struct {
		const char *text, *dir, *base;
	} paths[] = {
		{"/file", "", "file"},
		{"file", "dir/sub", "file"},
		{"/absolute", "dir/sub", "file"},
		{"/mnt/sub/file", "dir/sub", "file"},
		{"/a\nb", "", "a\nb"},
		{"/x (deleted)", "", "x (deleted)"},
		{"/magic", "", "file"},
		{"/proc/self/fd/13", "dir/sub", "file"},
		{"/bound", "", "bound"},
	};

	(void)state;
	view_needs_root();
	for (size_t i = 0; i < VU_ARRAY_SIZE(paths); i++) {
		char base[NAME_MAX + 1], path[SCRATCH_PATH_MAX];
		struct stat want;
		uint64_t dir = 0;

		assert_int_equal(parent_of(paths[i].text, base, &dir), 0);
		assert_int_equal(vu_view_leave(view), 0);
		assert_string_equal(base, paths[i].base);
		snprintf(path, sizeof(path), "%s/r0/%s", view_top, paths[i].dir);
		assert_int_equal(stat(path, &want), 0);
		assert_int_equal(dir, want.st_ino);
	}
}

/* The name went away between the two steps, or is another file's; the directory is moved. */
static void test_parent_changed(void **state)
{
	char base[NAME_MAX + 1], root_path[SCRATCH_PATH_MAX];
	struct vu_stat st;
	uint64_t dir;

	(void)state;
	view_needs_root();
	assert_int_equal(parent_of("/proc/self/fd/12", base, &dir), -ENOENT);
	assert_int_equal(vu_view_leave(view), 0);
	snprintf(root_path, sizeof(root_path), "%s/r0", view_top);
	_cleanup_fd_ int root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(
		sh("cd %s && mkdir old && echo 1 >old/f && echo 2 >old/g && echo 3 >'old/g (deleted)'",
		   root_path),
		0);
	_cleanup_fd_ int f = view_resolve(view_pids[0], AT_FDCWD, "/old/f", 0, &st);
	_cleanup_fd_ int g = view_resolve(view_pids[0], AT_FDCWD, "/old/g", 0, &st);

	assert_true(f >= 0 && g >= 0);
	/* by descriptors: this thread is in the guest's root */
	assert_int_equal(renameat(root, "old", root, "dir/moved"), 0);
	_cleanup_fd_ int moved = vu_view_parent(view, f, base);

	assert_true(moved >= 0);
	assert_int_equal(vu_stat_at(moved, base, &st), 0);
	assert_int_equal(unlinkat(root, "dir/moved/g", 0), 0);
	assert_int_equal(vu_view_parent(view, g, base), -ENOENT);
	/* another file takes the name */
	assert_int_equal(renameat(root, "dir/moved/g (deleted)", root, "dir/moved/f"), 0);
	assert_int_equal(vu_view_parent(view, f, base), -ENOENT);
}

/* Names can be exchanged with the pool only by its own mount. */
static void on_mount(struct farm *f)
{
	char other[SCRATCH_PATH_MAX], path[PATH_MAX], want[512];
	struct vu_stat a, b, pool;

	view_needs_root();
	populate(f, 3);
	snprintf(other, sizeof(other), "%s/elsewhere", view_top);
	assert_int_equal(sh("mkdir -p %s && mount --bind %s/g1/usr %s", other, f->fs->mnt, other),
			 0);
	strcat(other, "/lib");
	_cleanup_fd_ int dir = open(other, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int same = vu_view_on_mount(dir, vu_pool_fd(f->pool));

	assert_true(dir >= 0 && same >= 0);
	assert_int_equal(vu_stat_fd(dir, &a), 0);
	assert_int_equal(vu_stat_fd(same, &b), 0);
	assert_int_equal(vu_stat_fd(vu_pool_fd(f->pool), &pool), 0);
	assert_int_equal(a.version.ino, b.version.ino);
	assert_int_equal(a.version.dev, b.version.dev);
	assert_int_equal(b.mount, pool.mount);
	assert_true(a.mount != b.mount);
	assert_true(vu_view_path(view, same, path) > 0);
	snprintf(want, sizeof(want), "%s/g1/usr/lib", f->fs->mnt);
	assert_string_equal(path, want);
	assert_int_equal(renameat(dir, "f1", vu_pool_stage_fd(f->pool), "n"), -1);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(renameat(same, "f1", vu_pool_stage_fd(f->pool), "n"), 0);
	assert_int_equal(renameat(vu_pool_stage_fd(f->pool), "n", same, "f1"), 0);
	assert_int_equal(sh("umount -l %s/elsewhere", view_top), 0);
}

ON_ALL(on_mount)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_parent, view_leave),
		cmocka_unit_test_teardown(test_parent_changed, view_leave),
		TESTS(on_mount),
	};

	return cmocka_run_group_tests_name("view-names", tests, set_up, view_tear_down);
}
