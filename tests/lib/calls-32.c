/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * calls-32 - a program of 32 bits (i386) that changes files by the system calls that only such programs have.
 *
 * usage: calls-32 DIR   in which there are f0 to f9
 *
 * Needs no library: made with -m32 -nostdlib -static -ffreestanding. Exit code: the number of the first call that
 * failed, from 1.
 */
#define AT_FDCWD (-100)
#define O_WRONLY 1
#define O_APPEND 02000

static long call(long nr, long a, long b, long c, long d, long e)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory");
	return r;
}

#define CALL(nr, a, b, c, d, e) call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

static long append(const char *path)
{
	long fd = CALL(5, path, O_WRONLY | O_APPEND, 0, 0, 0);

	return fd < 0 ? fd : CALL(4, fd, "more\n", 5, 0, 0) - 5;
}

static long by_reading(const char *path)
{
	long fd = CALL(295, AT_FDCWD, path, 0, 0, 0); /* openat */

	return fd < 0 ? fd : CALL(94, fd, 0600, 0, 0, 0); /* fchmod */
}

static int run(const char *dir)
{
	static const long then[2] = {1000000000, 1000000000};
	int failed = 0, n = 0;

#define TRY(what)                                                                                  \
	do {                                                                                       \
		n++;                                                                               \
		if ((what) && !failed)                                                             \
			failed = n;                                                                \
	} while (0)
	TRY(CALL(12, dir, 0, 0, 0, 0)); /* chdir */
	TRY(append("f0"));
	TRY(CALL(193, "f1", 5, 0, 0, 0));   /* truncate64 */
	TRY(CALL(15, "f2", 0600, 0, 0, 0)); /* chmod */
	TRY(CALL(198, "f3", 7, 8, 0, 0));   /* lchown32 */
	TRY(CALL(182, "f4", 7, 8, 0, 0));   /* chown, with ids of 16 bits */
	TRY(CALL(30, "f5", then, 0, 0, 0)); /* utime */
	TRY(by_reading("f6"));
	TRY(CALL(9, "f7", "f7.link", 0, 0, 0));	       /* link */
	TRY(CALL(10, "f7", 0, 0, 0, 0));	       /* unlink */
	TRY(CALL(38, "f8", "f9", 0, 0, 0));	       /* rename over */
	TRY(CALL(226, "f0", "user.label", "x", 1, 0)); /* setxattr */
	return failed;
}

__attribute__((used, noreturn)) static void begin(const long *stack)
{
	long code = stack[0] == 2 ? run((const char *)stack[2]) : 99;

	CALL(1, code, 0, 0, 0, 0);
	for (;;)
		;
}

__attribute__((naked, noreturn)) void _start(void);
__attribute__((naked, noreturn)) void _start(void)
{
	__asm__("mov %esp, %eax; and $-16, %esp; sub $12, %esp; push %eax; call begin");
}
