/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter, installed in a child: it makes the calls natively and by i386's gate, and what is notified is
 * decoded and compared with what the child did. No call finds a file, so that none does anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "cow/call.h"
#include "cow/filter.h"

/* A register whose upper half is not zero, which nobody may look at. */
#define DIRTY(v) (UINT64_C(0xdeadbeef00000000) | (uint32_t)(v))

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);

static unsigned long refused_flags;   /* of seccomp: an older kernel */
static unsigned long installed_flags; /* of the last installation */

long __wrap_syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_seccomp) {
		installed_flags = (unsigned long)a[1];
		if (installed_flags & refused_flags) {
			errno = EINVAL;
			return -1;
		}
	}
	return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* In the first 4 GiB, so that i386 calls reach it, and at the same place in the child. */
static struct low {
	char a[32], b[32];
	uint64_t how[3];
	char zero[64];
} * low;

static struct vu_call_numbers *numbers;

#define A ((uint64_t)(uintptr_t)low->a)
#define B ((uint64_t)(uintptr_t)low->b)
#define HOW ((uint64_t)(uintptr_t)low->how)

static bool opens_to_write(uint64_t flags)
{
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return false;
	return (flags & O_ACCMODE) || (flags & O_TRUNC);
}

struct live {
	int nr;
	uint64_t args[6];
	const char *want; /* "operation path path"; NULL: not notified */
	int error;	  /* what the call fails with */
};

static int set_up(void **state)
{
	(void)state;
	low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS
#ifdef MAP_32BIT
			   | MAP_32BIT
#endif
		   ,
		   -1, 0);
	numbers = vu_call_numbers_new();
	if (low == MAP_FAILED || !numbers)
		return -1;
	strcpy(low->a, "/nowhere/a");
	strcpy(low->b, "/nowhere/b");
	low->how[0] = O_RDWR;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	numbers = vu_call_numbers_free(numbers);
	return munmap(low, sizeof(*low));
}

static long call_native(const struct live *l)
{
	long r = __real_syscall(l->nr, l->args[0], l->args[1], l->args[2], l->args[3], l->args[4],
				l->args[5]);

	return r < 0 ? -errno : r;
}

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
#endif

typedef long call_fn(const struct live *l);

/* What the child tells about each call. */
struct told {
	int listener; /* or a negative errno; only the first time */
	long result;
	int no_new_privs;
};

static void tell(int fd, const struct told *t)
{
	if (write(fd, t, sizeof(*t)) != (ssize_t)sizeof(*t))
		_exit(3);
}

static void child(struct vu_filter *f, int fd, int go, const struct live *l, size_t n,
		  call_fn *call)
{
	struct told t = {.listener = vu_filter_install(f)};
	char c;

	t.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	tell(fd, &t);
	if (t.listener < 0)
		_exit(2);
	for (size_t i = 0; i < n; i++) {
		if (read(go, &c, 1) != 1)
			_exit(4);
		t.result = call(&l[i]);
		tell(fd, &t);
	}
	_exit(0);
}

static void read_string(pid_t pid, uint64_t address, char *out, size_t size)
{
	struct iovec to = {out, size}, from = {(void *)(uintptr_t)address, size};

	assert_int_equal(process_vm_readv(pid, &to, 1, &from, 1, 0), size);
	assert_non_null(memchr(out, 0, size));
}

static const char *op_name(enum vu_call_op op)
{
	static const char *const names[] = {"open",	"truncate",    "unlink", "rmdir", "rename",
					    "exchange", "link",	       "chmod",	 "chown", "utimes",
					    "setxattr", "removexattr", "setattr"};

	return names[op];
}

/* As text, what the notified call is decoded to. */
static void describe(pid_t pid, const struct seccomp_data *d, char *out, size_t size)
{
	struct vu_call c;
	int r = vu_call_decode(numbers, d, &c);

	if (!r && c.how_address) {
		struct open_how how = {0};

		assert_int_equal(c.how_size, sizeof(how));
		read_string(pid, c.path[0].address, out, 32);
		assert_true(c.how_address == HOW);
		memcpy(&how, low->how, sizeof(how));
		r = vu_call_complete(&c, &how);
	}
	if (r) {
		snprintf(out, size, r == VU_CALL_NONE ? "none" : "malformed");
		return;
	}
	int n = snprintf(out, size, "%s", op_name(c.op));

	for (unsigned i = 0; i < c.n_paths; i++) {
		char path[32];

		if (c.path[i].self) {
			n += snprintf(out + n, size - (size_t)n, " %d", c.path[i].dirfd);
			continue;
		}
		read_string(pid, c.path[i].address, path, sizeof(path));
		n += snprintf(out + n, size - (size_t)n, " %s", path);
	}
}

/* Receives one notification, lets the call go on, and tells what it was about. */
static void answer(int listener, char *out, size_t size)
{
	union {
		struct seccomp_notif n;
		char room[256]; /* a later kernel may want more */
	} req = {0};
	struct seccomp_notif_resp resp = {0};

	assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req), 0);
	describe((pid_t)req.n.pid, &req.n.data, out, size);
	resp.id = req.n.id;
	resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &resp), 0);
}

static pid_t now_child; /* ended by the teardown at the latest */

/* Also after a failed assertion: it waits for an answer, or for what to do next, for ever. */
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

static void read_told(int fd, struct told *t)
{
	struct pollfd p = {fd, POLLIN, 0};

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(read(fd, t, sizeof(*t)), sizeof(*t));
}

/* Plays the calls in a child under the filter. */
static void play(unsigned flags, const struct live *l, size_t n, call_fn *call)
{
	int told[2], go[2], status;
	struct vu_filter *f = NULL;
	struct told t;

	if (geteuid())
		skip();
	assert_int_equal(vu_filter_new(0, flags, &f), 0);
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	pid_t pid = now_child = fork();

	assert_true(pid >= 0);
	if (!pid) {
		/* whoever ends the test by force ends this too */
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		child(f, told[1], go[0], l, n, call);
	}
	close(told[1]);
	close(go[0]);
	read_told(told[0], &t);
	assert_true(t.listener >= 0);
	assert_int_equal(t.no_new_privs, 0);

	int pidfd = (int)__real_syscall(SYS_pidfd_open, (long)pid, 0L);
	int listener = (int)__real_syscall(SYS_pidfd_getfd, (long)pidfd, (long)t.listener, 0L);

	assert_true(listener >= 0);
	for (size_t i = 0; i < n; i++) {
		struct pollfd p[2] = {{told[0], POLLIN, 0}, {listener, POLLIN, 0}};
		char got[128] = "";

		assert_int_equal(write(go[1], "", 1), 1);
		assert_true(poll(p, 2, 10000) > 0);
		if (p[1].revents & POLLIN)
			answer(listener, got, sizeof(got));
		read_told(told[0], &t);
		if (strcmp(got, l[i].want ? l[i].want : "") || t.result != -l[i].error)
			fail_msg("row %zu, call %d: '%s' and %ld, not '%s' and %d", i, l[i].nr, got,
				 t.result, l[i].want ? l[i].want : "", -l[i].error);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	now_child = 0;
	assert_int_equal(status, 0);
	close(listener);
	close(pidfd);
	close(told[0]);
	close(go[1]);
	vu_filter_free(f);
}

#define N(row) (row), VU_ARRAY_SIZE(row)

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

static bool knows(int nr)
{
	return __real_syscall(nr, -1L, 0L, 0L, 0L, 0L, 0L) != -1 || errno != ENOSYS;
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

/* Each combination of the flags that matter. */
static void play_opens(call_fn *call, int nr, bool at)
{
	static const uint32_t bits[] = {1, 2, O_CREAT, O_EXCL, O_TRUNC, O_APPEND};
	struct live rows[1 << VU_ARRAY_SIZE(bits)] = {0};

	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		uint64_t flags = 0;

		for (size_t b = 0; b < VU_ARRAY_SIZE(bits); b++)
			flags |= i >> b & 1 ? bits[b] : 0;
		rows[i] = (struct live){nr, {A, flags, 0600}, NULL, ENOENT};
		if (at)
			rows[i] = (struct live){
				nr, {(uint64_t)AT_FDCWD, A, flags, 0600}, NULL, ENOENT};
		if (opens_to_write(flags))
			rows[i].want = "open /nowhere/a";
	}
	play(0, N(rows), call);
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
static void test_installed_old(void **state)
{
	(void)state;
	skip();
}

static void test_installed_i386(void **state)
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
	int fd = vu_filter_install(f);

	return fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && installed_flags == (1 << 3 | 1 << 5)
		       ? 0
		       : 1;
}

static int install_twice(struct vu_filter *f)
{
	return vu_filter_install(f) >= 0 && vu_filter_install(f) == -EBUSY ? 0 : 1;
}

static int install_older(struct vu_filter *f)
{
	refused_flags = 1 << 5;
	return vu_filter_install(f) >= 0 && installed_flags == 1 << 3 ? 0 : 1;
}

static int install_unprivileged(struct vu_filter *f)
{
	struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {0};

	if (__real_syscall(SYS_capset, &h, none))
		return 2;
	return vu_filter_install(f) == -EACCES && !prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) ? 0 : 1;
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
		cmocka_unit_test_teardown(test_installed_i386, end_child),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
