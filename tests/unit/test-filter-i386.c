/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter, and the calls of 32-bit programs: by i386's gate, with its numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "filter-play.h"

#ifdef __x86_64__
/* What a 32-bit program does, but from a program of 64 bits: whose registers have upper halves. */
static long call_i386(const struct live *l)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"((long)l->nr), "b"(l->args[0]), "c"(l->args[1]), "d"(l->args[2]),
			   "S"(l->args[3]), "D"(l->args[4])
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}
/* A kernel without i386's calls kills who makes one. */
static bool has_i386(void)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		struct live getpid_call = {20, {0}, NULL, 0};

		_exit(call_i386(&getpid_call) == getpid() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return !status;
}

static void test_installed_i386(void **state)
{
	const uint64_t cwd = (uint32_t)AT_FDCWD;
	const struct live rows[] = {
		{5, {A, O_RDONLY}, NULL, ENOENT},
		{5, {DIRTY(A), DIRTY(O_RDWR)}, "open /nowhere/a", ENOENT},
		{8, {A, 0600}, "open /nowhere/a", ENOENT},
		{9, {A, B}, "link /nowhere/a /nowhere/b", ENOENT},
		{10, {A}, "unlink /nowhere/a", ENOENT},
		{15, {A, 0600}, "chmod /nowhere/a", ENOENT},
		{16, {A, 0, 0}, "chown /nowhere/a", ENOENT},
		{30, {A, 0}, "utimes /nowhere/a", ENOENT},
		{38, {A, B}, "rename /nowhere/a /nowhere/b", ENOENT},
		{39, {A, 0700}, NULL, ENOENT}, /* mkdir */
		{40, {A}, "rmdir /nowhere/a", ENOENT},
		{92, {A, 0}, "truncate /nowhere/a", ENOENT},
		{94, {999, 0600}, NULL, EBADF},
		{95, {999, 0, 0}, NULL, EBADF},
		{182, {A, 0, 0}, "chown /nowhere/a", ENOENT},
		{193, {A, 0, 0}, "truncate /nowhere/a", ENOENT},
		{194, {999, 0, 0}, NULL, EBADF}, /* ftruncate64 */
		{198, {A, 0, 0}, "chown /nowhere/a", ENOENT},
		{207, {999, 0, 0}, NULL, EBADF},
		{212, {A, 0, 0}, "chown /nowhere/a", ENOENT},
		{226, {A, B, A, 1, 0}, "setxattr /nowhere/a", ENOENT},
		{227, {A, B, A, 1, 0}, "setxattr /nowhere/a", ENOENT},
		{228, {999, B, A, 1, 0}, NULL, EBADF},
		{235, {A, B}, "removexattr /nowhere/a", ENOENT},
		{236, {A, B}, "removexattr /nowhere/a", ENOENT},
		{237, {999, B}, NULL, EBADF},
		{271, {A, 0}, "utimes /nowhere/a", ENOENT},
		{295, {cwd, A, O_RDONLY}, NULL, ENOENT},
		{295, {cwd, A, O_WRONLY}, "open /nowhere/a", ENOENT},
		{295, {cwd, A, O_RDWR | O_CREAT | O_EXCL, 0600}, NULL, ENOENT},
		{298, {cwd, A, 0, 0, 0}, "chown /nowhere/a", ENOENT},
		{299, {cwd, A, 0}, "utimes /nowhere/a", ENOENT},
		{301, {cwd, DIRTY(A), DIRTY(0)}, "unlink /nowhere/a", ENOENT},
		{301, {cwd, A, AT_REMOVEDIR}, "rmdir /nowhere/a", ENOENT},
		{302, {cwd, A, cwd, B}, "rename /nowhere/a /nowhere/b", ENOENT},
		{303, {cwd, A, cwd, B, 0}, "link /nowhere/a /nowhere/b", ENOENT},
		{306, {cwd, A, 0600}, "chmod /nowhere/a", ENOENT},
		{320, {cwd, A, 0, 0}, "utimes /nowhere/a", ENOENT},
		{320, {999, DIRTY(0), 0, 0}, NULL, EBADF},
		{353, {cwd, A, cwd, B, 1}, "rename /nowhere/a /nowhere/b", ENOENT},
		{412, {cwd, A, 0, 0}, "utimes /nowhere/a", ENOENT},
		{437, {cwd, A, HOW, 24}, "open /nowhere/a", ENOENT},
		{466, {cwd, A, 0, B}, "removexattr /nowhere/a", knows(466) ? ENOENT : ENOSYS},
		{425, {1, HOW}, NULL, ENOSYS},
		{54, {999, 0x40046602, A}, NULL, EPERM},
		{54, {999, DIRTY(0x401c5820), A}, NULL, EPERM},
		{54, {999, 0x80046601, A}, NULL, EBADF},
		{64, {0}, NULL, -getpid()}, /* getppid */
	};

	(void)state;
	if (!has_i386())
		skip();
	play(0, N(rows), call_i386);
	play_opens(call_i386, 5, false);
	play_opens(call_i386, 295, true);
}
#else
static void test_installed_i386(void **state)
{
	(void)state;
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_installed_i386, end_child),
	};

	return cmocka_run_group_tests(tests, play_set_up, play_tear_down);
}
