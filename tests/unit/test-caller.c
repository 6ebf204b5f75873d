/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Callers as /proc shows them, of real processes; and what each may do, against a table by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/caller.h"

#define CAP(c) (UINT64_C(1) << (c))

static int proc = -EBADF;
static struct vu_caller_ours ours;
static pid_t now_child;

static int set_up(void **state)
{
	(void)state;
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return proc < 0 || vu_caller_ours_read(proc, &ours);
}

static int tear_down(void **state)
{
	(void)state;
	vu_close_p(&proc);
	return 0;
}

static int end_child(void **state)
{
	(void)state;
	if (now_child > 0) {
		kill(now_child, SIGKILL);
		waitpid(now_child, NULL, 0);
	}
	now_child = 0;
	return 0;
}

static int set_caps(uint64_t caps)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct d[2] = {
		{(uint32_t)caps, (uint32_t)caps, 0},
		{(uint32_t)(caps >> 32), (uint32_t)(caps >> 32), 0},
	};

	return (int)syscall(SYS_capset, &h, d);
}

/* A process that became somebody, and waits to be looked at. */
static pid_t start(int (*become)(void))
{
	int ready[2];
	char c = 1;

	if (geteuid())
		skip();
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	now_child = fork();
	assert_true(now_child >= 0);
	if (!now_child) {
		c = (char)become();
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (write(ready[1], &c, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 0);
	close(ready[0]);
	return now_child;
}

static struct vu_caller look(int (*become)(void), bool is_root)
{
	struct vu_caller c;
	pid_t pid = start(become);

	assert_int_equal(vu_caller_read(proc, pid, &c), 0);
	assert_int_equal(vu_caller_is_root(&ours, proc, pid), is_root);
	return c;
}

/* ---- who it is ---- */

static int as_root(void)
{
	return setgroups(0, NULL);
}

static int as_user(void)
{
	static const gid_t groups[] = {30, 20, 10};

	return setgroups(3, groups) || setresgid(6, 6, 6) || setresuid(5, 5, 5);
}

/* Real, effective, saved and file system's are four numbers. */
static int as_four(void)
{
	if (setgroups(0, NULL) || setresgid(11, 12, 13) || setresuid(1, 0, 3))
		return 1;
	setfsgid(14);
	setfsuid(4);
	return setfsuid((uid_t)-1) != 4;
}

static int as_many_groups(void)
{
	gid_t groups[VU_CALLER_GROUPS + 1];

	for (unsigned i = 0; i < VU_ARRAY_SIZE(groups); i++)
		groups[i] = 1000 + i;
	return setgroups(VU_ARRAY_SIZE(groups), groups);
}

/* As many as there can be: the status file is longer than what is read of it. */
static int as_all_groups(void)
{
	static gid_t groups[65536];

	for (unsigned i = 0; i < VU_ARRAY_SIZE(groups); i++)
		groups[i] = UINT32_C(4000000000) + i;
	return setgroups(VU_ARRAY_SIZE(groups), groups) || setresuid(5, 5, 5);
}

static int without_caps(void)
{
	return set_caps(0);
}

static int with_one_cap(void)
{
	return set_caps(CAP(CAP_FOWNER));
}

/* With all that the kernel asks for, but as somebody else. */
static int with_caps_as_user(void)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setresuid(5, 5, 5))
		return 1;
	return set_caps(CAP(CAP_DAC_OVERRIDE) | CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_FOWNER));
}

/* Root there, and nobody here. */
static int in_user_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWUSER))
		return 1;
	fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, "0 0 1", 5) != 5;
}

/* A name that looks like a line of the file. */
static int with_odd_name(void)
{
	return prctl(PR_SET_NAME, "\nUid:\t0\t0\t0\t0", 0, 0, 0) || setgroups(0, NULL) ||
	       setresgid(6, 6, 6) || setresuid(5, 5, 5);
}

static void test_root(void **state)
{
	(void)state;
	struct vu_caller c = look(as_root, true);

	assert_int_equal(c.fsuid, 0);
	assert_int_equal(c.n_groups, 0);
	assert_false(c.any_group);
	assert_int_equal(c.no_new_privs, 0);
}

static void test_user(void **state)
{
	(void)state;
	struct vu_caller c = look(as_user, false);

	assert_int_equal(c.fsuid, 5);
	assert_int_equal(c.fsgid, 6);
	assert_int_equal(c.caps, 0);
	/* the kernel has them in order */
	assert_int_equal(c.n_groups, 3);
	assert_int_equal(c.groups[0], 10);
	assert_int_equal(c.groups[1], 20);
	assert_int_equal(c.groups[2], 30);
}

static void test_four(void **state)
{
	(void)state;
	struct vu_caller c = look(as_four, false);

	assert_int_equal(c.fsuid, 4);
	assert_int_equal(c.fsgid, 14);
	/* went with the user of the file system */
	assert_false(c.caps & CAP(CAP_DAC_OVERRIDE));
	assert_true(c.caps & CAP(CAP_SYS_ADMIN));
}

static void test_many_groups(void **state)
{
	(void)state;
	struct vu_caller c = look(as_many_groups, true);

	assert_int_equal(c.n_groups, VU_CALLER_GROUPS);
	assert_true(c.any_group);
}

static void test_all_groups(void **state)
{
	(void)state;
	struct vu_caller c = look(as_all_groups, false);

	assert_int_equal(c.fsuid, 5);
	assert_true(c.any_group);
}

static void test_caps(void **state)
{
	(void)state;
	assert_int_equal(look(without_caps, false).caps, 0);
	end_child(state);
	assert_int_equal(look(with_one_cap, false).caps, CAP(CAP_FOWNER));
	end_child(state);
	assert_int_equal(look(with_caps_as_user, true).fsuid, 5);
}

static void test_user_namespace(void **state)
{
	(void)state;
	struct vu_caller c = look(in_user_namespace, false);

	assert_int_equal(c.fsuid, 0);
	assert_true(c.caps & CAP(CAP_DAC_OVERRIDE));
}

static void test_odd_name(void **state)
{
	(void)state;
	assert_int_equal(look(with_odd_name, false).fsuid, 5);
}

static void test_gone(void **state)
{
	struct vu_caller c;
	pid_t pid = start(as_root);

	end_child(state);
	assert_int_equal(vu_caller_read(proc, pid, &c), -ESRCH);
	assert_false(vu_caller_is_root(&ours, proc, pid));
}

/* ---- what he may ---- */

static const struct vu_caller root = {.caps = UINT64_MAX};
static const struct vu_caller owner = {.fsuid = 5, .fsgid = 6};
static const struct vu_caller group = {.fsuid = 7, .fsgid = 6};
static const struct vu_caller member = {.fsuid = 7, .fsgid = 1, .groups = {3, 6}, .n_groups = 2};
static const struct vu_caller any = {.fsuid = 7, .fsgid = 1, .any_group = true};
static const struct vu_caller other = {.fsuid = 7, .fsgid = 8};
static const struct vu_caller dac = {.fsuid = 7, .caps = CAP(CAP_DAC_OVERRIDE)};
static const struct vu_caller fowner = {.fsuid = 7, .caps = CAP(CAP_FOWNER)};
static const struct vu_caller chowner = {.fsuid = 7, .caps = CAP(CAP_CHOWN)};
static const struct vu_caller admin = {.fsuid = 7, .caps = CAP(CAP_SYS_ADMIN)};
static const struct vu_caller setfcap = {.fsuid = 7, .caps = CAP(CAP_SETFCAP)};
static const struct vu_caller bare = {.fsuid = 0};

#define OPEN VU_CALL_OPEN
#define UNLINK VU_CALL_UNLINK
#define CHMOD VU_CALL_CHMOD
#define CHOWN VU_CALL_CHOWN
#define UTIMES VU_CALL_UTIMES
#define SETXATTR VU_CALL_SETXATTR
#define LINK VU_CALL_LINK

/* Of a file of 5:6 with this mode; in a directory of 50:60 where its mode matters. */
static const struct {
	const struct vu_caller *who;
	enum vu_call_op op;
	uint32_t mode, dir_mode;
	bool may;
} rows[] = {
	{&root, OPEN, 0, 0, true},
	{&root, UNLINK, 0, 01000, true},
	{&root, CHMOD, 0, 0, true},
	{&owner, OPEN, 0200, 0, true},
	{&owner, OPEN, 0577, 0, false}, /* his are the owner's bits, whatever the others say */
	{&group, OPEN, 0020, 0, true},
	{&group, OPEN, 0644, 0, false},
	{&group, OPEN, 0602, 0, true}, /* would not: but none is harmed by a copy */
	{&member, OPEN, 0020, 0, true},
	{&member, OPEN, 0644, 0, false},
	{&any, OPEN, 0020, 0, true},
	{&other, OPEN, 0644, 0, false},
	{&other, OPEN, 0600, 0, false},
	{&other, OPEN, 0002, 0, true},
	{&other, OPEN, 0664, 0, true}, /* perhaps an ACL names him */
	{&dac, OPEN, 0, 0, true},
	{&fowner, OPEN, 0644, 0, false},
	{&bare, OPEN, 0644, 0, false},
	{&other, VU_CALL_TRUNCATE, 0644, 0, false},
	{&other, VU_CALL_TRUNCATE, 0646, 0, true},

	{&owner, UNLINK, 0777, 0755, false}, /* the directory decides */
	{&owner, UNLINK, 0, 0757, true},
	{&other, UNLINK, 0, 0757, true},
	{&owner, UNLINK, 0, 01777, true},
	{&other, UNLINK, 0777, 01777, false},
	{&fowner, UNLINK, 0, 01777, true},
	{&fowner, UNLINK, 0, 0755, false},
	{&dac, UNLINK, 0, 0755, true},
	{&dac, UNLINK, 0, 01755, false},
	{&other, VU_CALL_RMDIR, 0777, 0755, false},
	{&other, VU_CALL_RENAME, 0777, 0755, false},
	{&other, VU_CALL_RENAME, 0777, 0777, true},
	{&other, VU_CALL_EXCHANGE, 0777, 01777, false},

	{&owner, CHMOD, 0, 0, true},
	{&other, CHMOD, 0777, 0, false},
	{&fowner, CHMOD, 0, 0, true},
	{&dac, CHMOD, 0, 0, false},
	{&bare, CHMOD, 0, 0, false},
	{&owner, CHOWN, 0, 0, true},
	{&group, CHOWN, 0777, 0, false},
	{&chowner, CHOWN, 0, 0, true},
	{&other, VU_CALL_SETATTR, 0777, 0, false},
	{&owner, VU_CALL_SETATTR, 0, 0, true},

	{&owner, UTIMES, 0, 0, true},
	{&other, UTIMES, 0644, 0, false},
	{&other, UTIMES, 0646, 0, true}, /* to the time of now */
	{&other, SETXATTR, 0644, 0, false},
	{&other, SETXATTR, 0646, 0, true},
	{&admin, SETXATTR, 0, 0, true},
	{&setfcap, SETXATTR, 0, 0, true},
	{&other, VU_CALL_REMOVEXATTR, 0644, 0, false},
	{&owner, LINK, 0, 0, true},
	{&other, LINK, 0646, 0, true},
};

static void test_may(void **state)
{
	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		struct vu_stat st = {.mode = S_IFREG | rows[i].mode, .uid = 5, .gid = 6};
		struct vu_stat dir = {.mode = S_IFDIR | rows[i].dir_mode, .uid = 50, .gid = 60};

		if (vu_caller_may(rows[i].who, rows[i].op, &st, &dir) != rows[i].may)
			fail_msg("row %zu: %s", i, rows[i].may ? "may not" : "may");
	}
}

/* Whose directory it is. */
static void test_may_in_own_directory(void **state)
{
	struct vu_stat st = {.mode = S_IFREG | 0644};
	struct vu_stat dir = {.mode = S_IFDIR | S_ISVTX | 0755, .uid = 5, .gid = 6};

	(void)state;
	assert_true(vu_caller_may(&owner, UNLINK, &st, &dir));
	assert_false(vu_caller_may(&group, UNLINK, &st, &dir));
	dir.mode |= S_IWGRP;
	assert_false(vu_caller_may(&group, UNLINK, &st, &dir));
	dir.mode &= ~(uint32_t)S_ISVTX;
	assert_true(vu_caller_may(&group, UNLINK, &st, &dir));
	assert_true(vu_caller_may(&member, VU_CALL_EXCHANGE, &st, &dir));
}

/* What access(2) says; 1: it is not told. A file of user 5 and group 6. */
static void test_access(void **state)
{
	static const struct {
		const struct vu_caller *who;
		uint32_t bits, wants; /* of the file; R_OK, W_OK, X_OK */
		bool has_acl;
		int want;
	} told[] = {
		{&root, 0, W_OK, false, 0},
		{&root, 0644, W_OK | X_OK, false, -EACCES},
		{&root, 0654, R_OK | W_OK | X_OK, true, 0},
		{&owner, 0200, W_OK, false, 0},
		{&owner, 0200, R_OK | W_OK, false, -EACCES},
		{&owner, 0577, W_OK, true, -EACCES}, /* his are the owner's bits */
		{&group, 0020, W_OK, false, 0},
		{&group, 0604, R_OK | W_OK, false, -EACCES},
		{&group, 0602, W_OK, false, -EACCES}, /* his are the group's bits */
		{&other, 0602, W_OK, false, 0},
		{&other, 0620, W_OK, false, -EACCES},
		{&other, 0644, W_OK, true, -EACCES}, /* an ACL has no more than its mask */
		{&other, 0664, W_OK, true, 1},
		{&group, 0664, W_OK, true, 1},
		{&any, 0600, W_OK, false, -EACCES},
		{&any, 0620, W_OK, false, 1},
		{&any, 0666, W_OK, false, 0},
	};
	struct vu_caller changed = owner;

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(told); i++) {
		struct vu_stat st = {.mode = S_IFREG | told[i].bits, .uid = 5, .gid = 6};
		struct vu_caller c = *told[i].who;

		c.uid = c.fsuid;
		c.gid = c.fsgid;
		if (vu_caller_access(&c, told[i].wants, true, &st, told[i].has_acl) != told[i].want)
			fail_msg("row %zu: not %d", i, told[i].want);
	}
	struct vu_stat st = {.mode = S_IFREG | 0600, .uid = 5, .gid = 6};

	/* a set-id program: the real user is asked for, whose capabilities are not known */
	changed.uid = changed.fsuid + 1;
	changed.gid = changed.fsgid;
	assert_int_equal(vu_caller_access(&changed, W_OK, true, &st, false), 1);
	assert_int_equal(vu_caller_access(&changed, W_OK, false, &st, false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_root, end_child),
		cmocka_unit_test_teardown(test_user, end_child),
		cmocka_unit_test_teardown(test_four, end_child),
		cmocka_unit_test_teardown(test_many_groups, end_child),
		cmocka_unit_test_teardown(test_all_groups, end_child),
		cmocka_unit_test_teardown(test_caps, end_child),
		cmocka_unit_test_teardown(test_user_namespace, end_child),
		cmocka_unit_test_teardown(test_odd_name, end_child),
		cmocka_unit_test_teardown(test_gone, end_child),
		cmocka_unit_test(test_may),
		cmocka_unit_test(test_may_in_own_directory),
		cmocka_unit_test(test_access),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
