/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Marks: which inode has which, and the map of them. The map is a real one, of this kernel; that it is
 * obeyed shows tests/real/lsm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/guard.h"
#include "fs/iattr.h"
#include "fs/stat.h"
#include "scratch.h"

#define REUSE_TRIES 2000

struct place {
	char dir[SCRATCH_MAX];
	char path[SCRATCH_PATH_MAX];
	int map;
};

static int make_map(void)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_HASH;
	a.key_size = sizeof(struct vu_guard_mark);
	a.value_size = sizeof(struct vu_guard_pool);
	a.max_entries = 4;
	a.map_flags = BPF_F_NO_PREALLOC;
	return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a));
}

static int set_up(void **state)
{
	static struct place p;

	if (!scratch_dir(p.dir, "guard"))
		return -1;
	snprintf(p.path, sizeof(p.path), "%s/file", p.dir);
	p.map = make_map();
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	unlink(p->path);
	rmdir(p->dir);
	if (p->map >= 0)
		close(p->map);
	return 0;
}

static int make(const struct place *p)
{
	int fd = open(p->path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void mark_of(int fd, struct vu_guard_mark *ret)
{
	if (vu_guard_mark_of(fd, ret) != -EOPNOTSUPP)
		return;
	print_message("# skip: the file system of TMPDIR tells no UUID or no generation\n");
	skip();
}

static void need_map(const struct place *p)
{
	if (p->map >= 0)
		return;
	print_message("# skip: no map of BPF can be made\n");
	skip();
}

static void a_mark_is_of_the_inode(void **state)
{
	const struct place *p = *state;
	struct vu_guard_mark a, b;
	struct vu_stat st;
	int fd = make(p);

	mark_of(fd, &a);
	assert_false(vu_stat_fd(fd, &st));
	assert_true(a.ino == st.version.ino);
	assert_int_equal(a.zero, 0);
	close(fd);
	fd = open(p->path, O_RDWR | O_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_false(fchmod(fd, 0644));
	mark_of(fd, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	close(fd);
}

static void a_number_used_again_has_another(void **state)
{
	const struct place *p = *state;
	struct vu_guard_mark first, again;
	int fd = make(p);

	mark_of(fd, &first);
	close(fd);
	for (int i = 0; i < REUSE_TRIES; i++) {
		unlink(p->path);
		fd = make(p);
		mark_of(fd, &again);
		close(fd);
		assert_true(memcmp(&first, &again, sizeof(first)) != 0);
		if (first.ino == again.ino)
			return;
	}
	print_message("# skip: the file system of TMPDIR does not use numbers again\n");
	skip();
}

static void marks_come_and_go(void **state)
{
	const struct place *p = *state;
	struct vu_guard_pool pool = {.fs_id = 1, .ino = 2};
	struct vu_guard_mark m = {.ino = 7, .generation = 1}, other = {.ino = 7, .generation = 2},
			     got;

	need_map(p);
	assert_int_equal(vu_guard_has(p->map, &m), 0);
	assert_int_equal(vu_guard_drop(p->map, &m), 0);
	assert_int_equal(vu_guard_add(p->map, &m, &pool), 0);
	assert_int_equal(vu_guard_add(p->map, &m, &pool), 0);
	assert_int_equal(vu_guard_has(p->map, &m), 1);
	assert_int_equal(vu_guard_has(p->map, &other), 0);
	assert_int_equal(vu_guard_next(p->map, NULL, &got), 0);
	assert_memory_equal(&got, &m, sizeof(m));
	assert_int_equal(vu_guard_next(p->map, &m, &got), -ENOENT);
	assert_int_equal(vu_guard_drop(p->map, &m), 0);
	assert_int_equal(vu_guard_has(p->map, &m), 0);
	assert_int_equal(vu_guard_next(p->map, NULL, &got), -ENOENT);
	assert_int_equal(vu_guard_forget(p->map, &pool), 0);
}

static void a_pool_loses_its_marks_alone(void **state)
{
	const struct place *p = *state;
	struct vu_guard_pool pools[] = {
		{.fs_id = 1, .ino = 2}, {.fs_id = 1, .ino = 3}, {.fs_id = 4, .ino = 2}};

	need_map(p);
	for (uint64_t i = 0; i < 4; i++) {
		struct vu_guard_mark m = {.ino = i + 1};

		assert_int_equal(vu_guard_add(p->map, &m, &pools[i % 3]), 0);
	}
	assert_int_equal(vu_guard_add(p->map, &(struct vu_guard_mark){.ino = 9}, &pools[0]),
			 -E2BIG);
	assert_int_equal(vu_guard_forget(p->map, &pools[0]), 0);
	for (uint64_t i = 0; i < 4; i++) {
		struct vu_guard_mark m = {.ino = i + 1};

		assert_int_equal(vu_guard_has(p->map, &m), i % 3 != 0);
	}
}

static void without_a_guard_it_is_the_flag(void **state)
{
	const struct place *p = *state;
	struct vu_stat st;
	int fd = make(p), r;

	if (vu_guard_is_there()) {
		print_message("# skip: there is a guard on this machine\n");
		close(fd);
		skip();
	}
	assert_false(vu_guard_holds(fd));
	assert_false(vu_stat_fd(fd, &st));
	assert_false(vu_guard_or_flag_holds(fd, &st));
	r = vu_guard_or_flag(fd);
	if (r == -ENOTTY || r == -EOPNOTSUPP || r == -EPERM) {
		print_message("# skip: no immutable flag here\n");
		close(fd);
		skip();
	}
	assert_int_equal(r, 0);
	assert_false(vu_stat_fd(fd, &st));
	assert_true(vu_guard_or_flag_holds(fd, &st));
	assert_int_equal(vu_iattr_set_immutable(fd, false), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_mark_is_of_the_inode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_number_used_again_has_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(marks_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pool_loses_its_marks_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_guard_it_is_the_flag, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
