/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guest/cgroup.h"
#include "scratch.h"

static const char *unit_of(const char *path)
{
	static char unit[VU_CGROUP_UNIT_MAX];

	return vu_cgroup_unit(path, unit) ? unit : "-";
}

static void test_unit(void **state)
{
	(void)state;
	assert_string_equal(unit_of("/"), "-");
	assert_string_equal(unit_of("/system.slice"), "-");
	assert_string_equal(unit_of("/system.slice/nginx.service"), "nginx.service");
	assert_string_equal(unit_of("/system.slice/system-getty.slice/getty@tty1.service"),
			    "getty@tty1.service");
	/* the innermost: what a guest's own systemd has started */
	assert_string_equal(unit_of("/machine.slice/systemd-nspawn@g1.service/payload/system.slice/"
				    "redis.service/worker"),
			    "redis.service");
	assert_string_equal(unit_of("/lxc.payload.g1"), "-");
	assert_string_equal(unit_of("/user.slice/user-0.slice/session-3.scope"), "session-3.scope");
}

/* A guest names the cgroups that it was given. */
static void test_unit_of_a_hostile_guest(void **state)
{
	char path[600];

	(void)state;
	assert_string_equal(unit_of("/g1/--all.service"), "-");
	assert_string_equal(unit_of("/g1/$(reboot).service"), "-");
	assert_string_equal(unit_of("/g1/a b.service"), "-");
	assert_string_equal(unit_of("/g1/.service"), "-");
	assert_string_equal(unit_of("/g1/x.service/a\tb.service"), "x.service");
	snprintf(path, sizeof(path), "/%0*d.service", 400, 0);
	assert_string_equal(unit_of(path), "-");
	snprintf(path, sizeof(path), "/%0*d.service", 255 - 8, 0);
	assert_string_equal(unit_of(path), path + 1);
}

static void test_below(void **state)
{
	(void)state;
	assert_true(vu_cgroup_is_below("/a", "/"));
	assert_true(vu_cgroup_is_below("/a", "/a"));
	assert_true(vu_cgroup_is_below("/a/b", "/a"));
	assert_false(vu_cgroup_is_below("/ab", "/a"));
	assert_false(vu_cgroup_is_below("/a", "/a/b"));
}

static void test_path(void **state)
{
	static const struct {
		const char *text, *v2, *memory, *systemd;
	} cases[] = {
		{"0::/a b\n", "/a b", "/", "/"},
		{"12:cpuset:/x\n4:cpu,memory:/m\n1:name=systemd:/s/t.service\n0::/\n", "/", "/m",
		 "/s/t.service"},
		/* a path may look like a line's beginning */
		{"4:memory:/0::/x\n", "/", "/0::/x", "/"},
		{"3:memoryx:/a\n0:memory:/b\n", "/", "/b", "/"},
		{"0:\n0\n:::\n", "/", "/", "/"},
		{"", "/", "/", "/"},
	};
	char dir[SCRATCH_MAX], file[SCRATCH_PATH_MAX];

	(void)state;
	assert_true(scratch_dir(dir, "test-cgroup"));
	snprintf(file, sizeof(file), "%s/cgroup", dir);
	for (size_t i = 0; i < VU_ARRAY_SIZE(cases); i++) {
		_cleanup_fd_ int task = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		FILE *f = fopen(file, "we");

		assert_non_null(f);
		fputs(cases[i].text, f);
		assert_int_equal(fclose(f), 0);
		_cleanup_free_ char *v2 = vu_cgroup_path(task, ""),
				    *memory = vu_cgroup_path(task, "memory"),
				    *systemd = vu_cgroup_path(task, "name=systemd");

		assert_string_equal(v2, cases[i].v2);
		assert_string_equal(memory, cases[i].memory);
		assert_string_equal(systemd, cases[i].systemd);
	}
	_cleanup_fd_ int task = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	unlink(file);
	assert_null(vu_cgroup_path(task, "")); /* it has ended */
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit),
		cmocka_unit_test(test_unit_of_a_hostile_guest),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
