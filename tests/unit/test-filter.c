/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter's program, run here: for each architecture and number against lists written from the kernel's
 * tables, for each combination of open flags, and for what is refused. test-filter-live.c has the kernel run
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <unistd.h>

#include <cmocka.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "cow/call.h"
#include "cow/filter.h"

#include "bpf-run.h"

#define X64 AUDIT_ARCH_X86_64
#define X86 AUDIT_ARCH_I386
#define A64 AUDIT_ARCH_AARCH64
#define ARM AUDIT_ARCH_ARM

#define ALLOW SECCOMP_RET_ALLOW
#define NOTIFY SECCOMP_RET_USER_NOTIF
#define ERROR(e) (SECCOMP_RET_ERRNO | (e))

/* A register whose upper half is not zero, which nobody may look at. */
#define DIRTY(v) (UINT64_C(0xdeadbeef00000000) | (uint32_t)(v))

static struct vu_call_numbers *numbers;

struct arch {
	uint32_t machine, audit;
	int open, openat, ioctl;
	int null_path[3]; /* futimesat, utimensat, utimensat_time64 */
	int access[3][2]; /* access, faccessat, faccessat2, each with where the mode is */
	int by_fd[5];	  /* fchmod, fchown, fchown32, fsetxattr, fremovexattr */
	int always[40];
};

/* -1: there is none. A list ends with 0. */
static const struct arch archs[] = {
	{X64,
	 X64,
	 2,
	 257,
	 16,
	 {261, 280, -1},
	 {{21, 1}, {269, 2}, {439, 2}},
	 {91, 93, 190, 199, -1},
	 /* unlinkat rmdir creat truncate unlink rename link chmod chown lchown utime utimes */
	 {263, 84, 85, 76, 87, 82, 86, 90, 92, 94, 132, 235,
	  /* lsetxattr setxattr removexattr lremovexattr renameat linkat fchmodat fchownat renameat2 openat2 */
	  189, 188, 197, 198, 264, 265, 268, 260, 316, 437,
	  /* fchmodat2 setxattrat removexattrat file_setattr */
	  452, 463, 466, 469}},
	{X64,
	 X86,
	 5,
	 295,
	 54,
	 {299, 320, 412},
	 {{33, 1}, {307, 2}, {439, 2}},
	 {94, 95, 207, 228, 237},
	 /* unlinkat rmdir creat link unlink chmod lchown utime rename truncate chown truncate64 lchown32 chown32 */
	 {301, 40, 8, 9, 10, 15, 16, 30, 38, 92, 182, 193, 198, 212,
	  /* setxattr lsetxattr removexattr lremovexattr utimes fchownat renameat linkat fchmodat renameat2 */
	  226, 227, 235, 236, 271, 298, 302, 303, 306, 353, 437, 452, 463, 466, 469}},
	{A64,
	 A64,
	 -1,
	 56,
	 29,
	 {88, -1, -1},
	 {{-1, 0}, {48, 2}, {439, 2}},
	 {52, 55, 7, 16, -1},
	 /* setxattr lsetxattr removexattr lremovexattr linkat renameat truncate fchmodat fchownat renameat2 */
	 {35, 5, 6, 14, 15, 37, 38, 45, 53, 54, 276, 437, 452, 463, 466, 469}},
	{A64,
	 ARM,
	 5,
	 322,
	 54,
	 {326, 348, 412},
	 {{33, 1}, {334, 2}, {439, 2}},
	 {94, 95, 207, 228, 237},
	 {328, 40,  8,	 9,   10,  15,	16,  38,  92,  182, 193, 198, 212, 226,
	  227, 235, 236, 269, 325, 329, 330, 333, 382, 437, 452, 463, 466, 469}},
};

static bool among(const int *list, size_t n, int nr)
{
	for (size_t i = 0; i < n && list[i]; i++)
		if (list[i] == nr)
			return true;
	return false;
}

static bool opens_to_write(uint64_t flags)
{
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return false;
	return (flags & O_ACCMODE) || (flags & O_TRUNC);
}

static uint32_t expected(const struct arch *a, bool descriptors, int nr, const uint64_t args[6])
{
	uint64_t path = args[1];

	if (nr == 425) /* io_uring_setup, on each */
		return ERROR(ENOSYS);
	if (nr < 0)
		return nr == -1 ? ALLOW : ERROR(ENOSYS);
	if (among(a->always, VU_ARRAY_SIZE(a->always), nr))
		return NOTIFY;
	if (nr == a->open)
		return opens_to_write(args[1]) ? NOTIFY : ALLOW;
	if (nr == a->openat)
		return opens_to_write(args[2]) ? NOTIFY : ALLOW;
	for (size_t i = 0; i < VU_ARRAY_SIZE(a->access); i++)
		if (nr == a->access[i][0])
			return args[a->access[i][1]] & W_OK ? NOTIFY : ALLOW;
	if (among(a->by_fd, VU_ARRAY_SIZE(a->by_fd), nr))
		return descriptors ? NOTIFY : ALLOW;
	if (a->audit == X86 || a->audit == ARM)
		path = (uint32_t)path;
	if (among(a->null_path, VU_ARRAY_SIZE(a->null_path), nr))
		return descriptors || path ? NOTIFY : ALLOW;
	return ALLOW;
}

/* What the decoder makes something of is notified, but for what is by descriptor. */
static void check_decoded(const struct arch *a, bool descriptors, int nr, const uint64_t args[6],
			  uint32_t action)
{
	struct seccomp_data d = {nr, a->audit, 0, {0}};
	struct vu_call c;

	memcpy(d.args, args, sizeof(d.args));
	if (!vu_call_decode(numbers, &d, &c) && action != NOTIFY)
		assert_true(!descriptors && c.path[0].self && !c.path[0].empty_self);
}

static void check_numbers(const struct arch *a, unsigned flags)
{
	static const uint64_t args[][6] = {
		{0},
		{1, 0x1000, O_RDWR},
		{1, 1, O_CREAT | O_EXCL | O_RDWR},
		{UINT64_MAX, UINT64_MAX & ~0x3c3ULL, UINT64_MAX, UINT64_MAX},
		{1, UINT64_C(0x7f0000000000), DIRTY(0)},
		{1, DIRTY(0), DIRTY(0x200)},
	};
	struct vu_filter *f = NULL;

	assert_int_equal(vu_filter_new(a->machine, flags, &f), 0);
	for (int nr = -2; nr < 3000; nr++) {
		for (size_t i = 0; i < VU_ARRAY_SIZE(args); i++) {
			uint32_t got = bpf_run(f, a->audit, nr, args[i]);
			uint32_t want = expected(a, flags & VU_FILTER_DESCRIPTORS, nr, args[i]);

			/* what is negative has the x32 bit, and no meaning elsewhere */
			if (nr < 0 && a->audit != X64)
				want = ALLOW;
			if (nr != a->ioctl && got != want)
				fail_msg("arch %x, call %d, arguments %zu: %x, not %x", a->audit,
					 nr, i, got, want);
			check_decoded(a, flags & VU_FILTER_DESCRIPTORS, nr, args[i], got);
		}
	}
	vu_filter_free(f);
}

static void test_numbers(void **state)
{
	(void)state;
	numbers = vu_call_numbers_new();
	assert_non_null(numbers);
	for (size_t i = 0; i < VU_ARRAY_SIZE(archs); i++) {
		check_numbers(&archs[i], 0);
		check_numbers(&archs[i], VU_FILTER_DESCRIPTORS);
	}
	numbers = vu_call_numbers_free(numbers);
}

/* All flags that matter, with all that do not. */
static void test_open_flags(void **state)
{
	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(archs); i++) {
		const struct arch *a = &archs[i];
		struct vu_filter *f = NULL;

		assert_int_equal(vu_filter_new(a->machine, 0, &f), 0);
		for (uint32_t flags = 0; flags < 02000; flags++) {
			for (int others = 0; others < 2; others++) {
				uint32_t v = flags | (others ? 037776000 : 0);
				uint32_t want = opens_to_write(flags) ? NOTIFY : ALLOW;
				uint64_t at[6] = {7, 9, others ? DIRTY(v) : v};
				uint64_t plain[6] = {9, at[2]};

				assert_int_equal(bpf_run(f, a->audit, a->openat, at), want);
				if (a->open >= 0)
					assert_int_equal(bpf_run(f, a->audit, a->open, plain),
							 want);
			}
		}
		vu_filter_free(f);
	}
}

static void test_ioctls(void **state)
{
	static const struct {
		uint64_t request;
		uint32_t want;
	} requests[] = {
		{0x40086602, ERROR(EPERM)}, /* FS_IOC_SETFLAGS */
		{0x40046602, ERROR(EPERM)}, /* FS_IOC32_SETFLAGS */
		{0x401c5820, ERROR(EPERM)}, /* FS_IOC_FSSETXATTR */
		{0x40087602, ERROR(EPERM)}, /* FS_IOC_SETVERSION */
		{0x40047602, ERROR(EPERM)}, /* FS_IOC32_SETVERSION */
		{0x40086604, ERROR(EPERM)}, /* EXT4_IOC_SETVERSION */
		{0x40046604, ERROR(EPERM)}, /* EXT4_IOC32_SETVERSION */
		{DIRTY(0x40086602), ERROR(EPERM)},
		{0x80086601, ALLOW}, /* FS_IOC_GETFLAGS */
		{0x80046601, ALLOW}, /* FS_IOC32_GETFLAGS */
		{0x801c581f, ALLOW}, /* FS_IOC_FSGETXATTR */
		{0x80087601, ALLOW}, /* FS_IOC_GETVERSION */
		{0xc020660b, ALLOW}, /* FS_IOC_FIEMAP */
		{0x40049409, ALLOW}, /* FICLONE */
		{0xc0189436, ALLOW}, /* FIDEDUPERANGE */
		{0x5401, ALLOW},     /* TCGETS */
		{0x5421, ALLOW},     /* FIONBIO */
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(archs); i++) {
		struct vu_filter *f = NULL;

		assert_int_equal(vu_filter_new(archs[i].machine, 0, &f), 0);
		for (size_t k = 0; k < VU_ARRAY_SIZE(requests); k++) {
			uint64_t args[6] = {3, requests[k].request, 0x1000};

			assert_int_equal(bpf_run(f, archs[i].audit, archs[i].ioctl, args),
					 requests[k].want);
		}
		vu_filter_free(f);
	}
}

/* x32 has the architecture of x86_64; what comes by another is refused as a whole. */
static void test_other_archs(void **state)
{
	static const uint64_t args[6] = {1, O_RDWR, O_RDWR};
	struct vu_filter *f = NULL;

	(void)state;
	assert_int_equal(vu_filter_new(X64, 0, &f), 0);
	for (int nr = 0; nr < 600; nr++) {
		assert_int_equal(bpf_run(f, X64, nr | 0x40000000, args), ERROR(ENOSYS));
		if (nr < 450)
			assert_int_equal(bpf_run(f, A64, nr, args), ERROR(ENOSYS));
	}
	f = vu_filter_free(f);
	assert_int_equal(vu_filter_new(AUDIT_ARCH_S390X, 0, &f), -EOPNOTSUPP);
	assert_null(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_open_flags),
		cmocka_unit_test(test_ioctls),
		cmocka_unit_test(test_other_archs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
