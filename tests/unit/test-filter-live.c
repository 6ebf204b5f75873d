/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter, installed in a child, and the calls of 64-bit programs. Those of 32-bit ones:
 * test-filter-i386.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/capability.h>

#include "base/cleanup.h"
#include "cow/filter.h"
#include "filter-play.h"

/* Calls that all architectures of these tests have. */
static void test_installed(void **state)
{
	const struct live rows[] = {
		{SYS_openat, {(uint64_t)AT_FDCWD, A, O_RDONLY}, NULL, ENOENT},
		{SYS_openat, {(uint64_t)AT_FDCWD, A, O_RDONLY | O_CREAT, 0600}, NULL, ENOENT},
		{SYS_openat, {DIRTY(AT_FDCWD), A, O_WRONLY}, "open /nowhere/a", ENOENT},
		{SYS_openat, {(uint64_t)AT_FDCWD, A, DIRTY(O_RDWR)}, "open /nowhere/a", ENOENT},
		{SYS_openat, {(uint64_t)AT_FDCWD, A, O_TRUNC}, "open /nowhere/a", ENOENT},
		{SYS_openat, {(uint64_t)AT_FDCWD, A, 3}, "open /nowhere/a", ENOENT},
		{SYS_openat,
		 {(uint64_t)AT_FDCWD, A, O_RDWR | O_CREAT, 0600},
		 "open /nowhere/a",
		 ENOENT},
		{SYS_openat, {(uint64_t)AT_FDCWD, A, O_RDWR | O_EXCL}, "open /nowhere/a", ENOENT},
		{SYS_openat,
		 {(uint64_t)AT_FDCWD, A, O_RDWR | O_CREAT | O_EXCL, 0600},
		 NULL,
		 ENOENT},
		{SYS_openat2, {(uint64_t)AT_FDCWD, A, HOW, 24}, "open /nowhere/a", ENOENT},
		{SYS_truncate, {A, 0}, "truncate /nowhere/a", ENOENT},
		{SYS_unlinkat, {(uint64_t)AT_FDCWD, A, 0}, "unlink /nowhere/a", ENOENT},
		{SYS_unlinkat,
		 {(uint64_t)AT_FDCWD, A, DIRTY(AT_REMOVEDIR)},
		 "rmdir /nowhere/a",
		 ENOENT},
		{SYS_renameat2,
		 {(uint64_t)AT_FDCWD, A, (uint64_t)AT_FDCWD, B, 2},
		 "exchange /nowhere/a /nowhere/b",
		 ENOENT},
		{SYS_linkat,
		 {(uint64_t)AT_FDCWD, A, (uint64_t)AT_FDCWD, B, 0},
		 "link /nowhere/a /nowhere/b",
		 ENOENT},
		{SYS_fchmodat, {(uint64_t)AT_FDCWD, A, 0600}, "chmod /nowhere/a", ENOENT},
		{SYS_fchownat, {(uint64_t)AT_FDCWD, A, 0, 0, 0}, "chown /nowhere/a", ENOENT},
		{SYS_utimensat, {(uint64_t)AT_FDCWD, A, 0, 0}, "utimes /nowhere/a", ENOENT},
		{SYS_utimensat, {999, 0, 0, 0}, NULL, EBADF},
		{SYS_setxattr, {A, B, A, 1, 0}, "setxattr /nowhere/a", ENOENT},
		{SYS_lsetxattr, {A, B, A, 1, 0}, "setxattr /nowhere/a", ENOENT},
		{SYS_removexattr, {A, B}, "removexattr /nowhere/a", ENOENT},
		{SYS_lremovexattr, {A, B}, "removexattr /nowhere/a", ENOENT},
		{SYS_getxattr, {A, B, A, 1}, NULL, ENOENT},
		{SYS_fchmod, {999, 0600}, NULL, EBADF},
		{SYS_fchown, {999, 0, 0}, NULL, EBADF},
		{SYS_fsetxattr, {999, B, A, 1, 0}, NULL, EBADF},
		{SYS_fremovexattr, {999, B}, NULL, EBADF},
		{SYS_mkdirat, {(uint64_t)AT_FDCWD, A, 0700}, NULL, ENOENT},
		{SYS_symlinkat, {A, (uint64_t)AT_FDCWD, B}, NULL, ENOENT},
		{SYS_io_uring_setup, {1, HOW}, NULL, ENOSYS},
		{SYS_ioctl, {999, DIRTY(0x40086602), A}, NULL, EPERM},
		{SYS_ioctl, {999, 0x401c5820, A}, NULL, EPERM},
		{SYS_ioctl, {999, 0x80086601, A}, NULL, EBADF},
	};
	const struct live descriptors[] = {
		{SYS_fchmod, {999, 0600}, "chmod 999", EBADF},
		{SYS_fchown, {999, 0, 0}, "chown 999", EBADF},
		{SYS_fsetxattr, {999, B, A, 1, 0}, "setxattr 999", EBADF},
		{SYS_fremovexattr, {999, B}, "removexattr 999", EBADF},
		{SYS_utimensat, {999, 0, 0, 0}, "utimes 999", EBADF},
		{SYS_utimensat, {(uint64_t)AT_FDCWD, A, 0, 0}, "utimes /nowhere/a", ENOENT},
	};

	(void)state;
	play(0, N(rows), call_native);
	play(VU_FILTER_DESCRIPTORS, N(descriptors), call_native);
}

/* Younger calls: a kernel that does not know one answers ENOSYS after it was notified. */
static void test_installed_new(void **state)
{
	int chmod2 = knows(452) ? ENOENT : ENOSYS, xattrat = knows(463) ? ENOENT : ENOSYS;
	int attr = knows(469) ? ENOENT : ENOSYS;
	uint64_t cwd = (uint64_t)AT_FDCWD, zero = (uint64_t)(uintptr_t)low->zero;
	const struct live rows[] = {
		{452, {cwd, A, 0600, 0}, "chmod /nowhere/a", chmod2},
		{463, {cwd, A, 0, B, zero, 16}, "setxattr /nowhere/a", xattrat},
		{466, {cwd, A, 0, B}, "removexattr /nowhere/a", xattrat},
		{469, {cwd, A, zero, 24, 0}, "setattr /nowhere/a", attr},
		/* neighbours, which only read */
		{464, {cwd, A, 0, B, zero, 16}, NULL, xattrat},
		{465, {cwd, A, 0, 0, 0}, NULL, xattrat},
		{468, {cwd, A, zero, 24, 0}, NULL, attr},
	};

	(void)state;
	play(0, N(rows), call_native);
}

static void test_installed_opens(void **state)
{
	(void)state;
	play_opens(call_native, SYS_openat, true);
}

#ifdef __x86_64__
/* Those of x86_64 that later architectures do without. */
static void test_installed_old(void **state)
{
	const struct live rows[] = {
		{SYS_open, {A, O_RDONLY}, NULL, ENOENT},
		{SYS_open, {A, O_RDWR}, "open /nowhere/a", ENOENT},
		{SYS_creat, {A, 0600}, "open /nowhere/a", ENOENT},
		{SYS_unlink, {A}, "unlink /nowhere/a", ENOENT},
		{SYS_rmdir, {A}, "rmdir /nowhere/a", ENOENT},
		{SYS_mkdir, {A, 0700}, NULL, ENOENT},
		{SYS_rename, {A, B}, "rename /nowhere/a /nowhere/b", ENOENT},
		{SYS_renameat,
		 {(uint64_t)AT_FDCWD, A, (uint64_t)AT_FDCWD, B},
		 "rename /nowhere/a /nowhere/b",
		 ENOENT},
		{SYS_link, {A, B}, "link /nowhere/a /nowhere/b", ENOENT},
		{SYS_symlink, {A, B}, NULL, ENOENT},
		{SYS_chmod, {A, 0600}, "chmod /nowhere/a", ENOENT},
		{SYS_chown, {A, 0, 0}, "chown /nowhere/a", ENOENT},
		{SYS_lchown, {A, 0, 0}, "chown /nowhere/a", ENOENT},
		{SYS_utime, {A, 0}, "utimes /nowhere/a", ENOENT},
		{SYS_utimes, {A, 0}, "utimes /nowhere/a", ENOENT},
		{SYS_futimesat, {(uint64_t)AT_FDCWD, A, 0}, "utimes /nowhere/a", ENOENT},
		{SYS_futimesat, {999, 0, 0}, NULL, EBADF},
		{SYS_getppid | 0x40000000, {0}, NULL, ENOSYS},
		{SYS_open | 0x40000000, {A, O_RDWR}, NULL, ENOSYS},
	};

	(void)state;
	play(0, N(rows), call_native);
	play_opens(call_native, SYS_open, false);
}

#else
static void test_installed_old(void **state)
{
	(void)state;
	skip();
}

#endif

/* Runs fn in a child, as installing is for ever. */
static void in_child(int (*fn)(struct vu_filter *f))
{
	struct vu_filter *f = NULL;
	int status;

	assert_int_equal(vu_filter_new(0, 0, &f), 0);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(fn(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	vu_filter_free(f);
}

static int install_once(struct vu_filter *f)
{
	bool killable = false;
	int fd = vu_filter_install(f, &killable);

	return fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC &&
			       installed_flags == (1 << 3 | 1 << 5) && killable
		       ? 0
		       : 1;
}

static int install_twice(struct vu_filter *f)
{
	return vu_filter_install(f, NULL) >= 0 && vu_filter_install(f, NULL) == -EBUSY ? 0 : 1;
}

static int install_older(struct vu_filter *f)
{
	bool killable = true;

	refused_flags = 1 << 5;
	return vu_filter_install(f, &killable) >= 0 && installed_flags == 1 << 3 && !killable ? 0
											      : 1;
}

static int install_unprivileged(struct vu_filter *f)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {0};

	if (__real_syscall(SYS_capset, &h, none))
		return 2;
	return vu_filter_install(f, NULL) == -EACCES && !prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) ? 0
												: 1;
}

static void test_install(void **state)
{
	(void)state;
	if (geteuid())
		skip();
	in_child(install_once);
	in_child(install_twice);
	in_child(install_older);
	in_child(install_unprivileged);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_install),
		cmocka_unit_test_teardown(test_installed, end_child),
		cmocka_unit_test_teardown(test_installed_new, end_child),
		cmocka_unit_test_teardown(test_installed_opens, end_child),
		cmocka_unit_test_teardown(test_installed_old, end_child),
	};

	return cmocka_run_group_tests(tests, play_set_up, play_tear_down);
}
