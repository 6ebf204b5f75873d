/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filter-play.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "cow/call.h"
#include "cow/filter.h"

unsigned long refused_flags, installed_flags;

/*
 * Reads six arguments, as syscall(2) itself does, though there may be fewer: what is behind them is passed on,
 * and no more.
 */
__attribute__((no_sanitize("address"))) long __wrap_syscall(long nr, ...)
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

struct low *low;
static struct vu_call_numbers *numbers;

int play_set_up(void **state)
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

int play_tear_down(void **state)
{
	(void)state;
	numbers = vu_call_numbers_free(numbers);
	return munmap(low, sizeof(*low));
}

long call_native(const struct live *l)
{
	long r = __real_syscall(l->nr, l->args[0], l->args[1], l->args[2], l->args[3], l->args[4],
				l->args[5]);

	return r < 0 ? -errno : r;
}

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
	struct told t = {.listener = vu_filter_install(f, NULL)};
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

/* Also after a failed assertion: the child waits for an answer, or for what to do next, for ever. */
int end_child(void **state)
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

void play(unsigned flags, const struct live *l, size_t n, call_fn *call)
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

bool knows(int nr)
{
	return __real_syscall(nr, -1L, 0L, 0L, 0L, 0L, 0L) != -1 || errno != ENOSYS;
}

static bool opens_to_write(uint64_t flags)
{
	if ((flags & O_CREAT) && (flags & O_EXCL))
		return false;
	return (flags & O_ACCMODE) || (flags & O_TRUNC);
}

void play_opens(call_fn *call, int nr, bool at)
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
