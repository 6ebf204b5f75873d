/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LXC's messages, made here as its monitor makes them: taken apart, answered, and a process that waits for the
 * answer goes on with it.
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
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cow/handoff-lxc.h"
#include "handed.h"

static struct seccomp_notif_sizes kernel;
static int monitor = -1, ours = -1; /* the two ends */
static int three[3] = {-1, -1, -1};
static size_t n_before;
static _Alignas(8) char received[VU_LXC_BYTES_MAX];
static struct vu_lxc_message now = {.bytes = received};
static pid_t child;

static int set_up(void **state)
{
	int s[2];

	(void)state;
	three[0] = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	three[1] = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	three[2] = handed_listener();
	if (vu_lxc_sizes(&kernel) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s))
		return -1;
	monitor = s[0];
	ours = s[1];
	n_before = handed_n_open();
	return 0;
}

/* What is open is what was open. */
static int tear_down(void **state)
{
	size_t n = handed_n_open();

	(void)state;
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
	for (int i = 0; i < 3; i++)
		close(three[i]);
	close(monitor);
	close(ours);
	if (n != n_before)
		print_error("%zu descriptors are open, not %zu\n", n, n_before);
	return n != n_before;
}

static size_t make(char *out, const struct seccomp_notif *req, const char *cookie)
{
	return handed_lxc_message(out, &kernel, 300, req, cookie);
}

static const struct seccomp_notif chmod_call = {
	.id = UINT64_C(0x8000000000000001), .pid = 4422, .data = {.nr = 90, .args = {1, 2}}};

static size_t base_size(void)
{
	return sizeof(struct vu_lxc_header) + kernel.seccomp_notif + kernel.seccomp_notif_resp;
}

static void test_message(void **state)
{
	char bytes[VU_LXC_BYTES_MAX], back[VU_LXC_BYTES_MAX];
	size_t n = make(bytes, &chmod_call, "web1");
	struct seccomp_notif_resp answer;

	(void)state;
	assert_int_equal(vu_lxc_receive(ours, &kernel, &now), -EAGAIN);
	handed_send(monitor, bytes, n, three, 3);
	assert_int_equal(vu_lxc_receive(ours, &kernel, &now), 0);
	assert_int_equal(now.call.monitor, 300);
	assert_int_equal(now.call.init, 400);
	assert_memory_equal(&now.call.request, &chmod_call, sizeof(chmod_call));
	assert_int_equal(now.call.cookie_size, 4);
	assert_memory_equal(now.call.cookie, "web1", 4);
	assert_int_equal(fcntl(now.proc, F_GETFD), FD_CLOEXEC);
	assert_true(faccessat(now.proc, "status", R_OK, 0) == 0);

	assert_int_equal(vu_lxc_reply(ours, &now, -EACCES, 0), 0);
	assert_int_equal(recv(monitor, back, sizeof(back), MSG_TRUNC), base_size());
	/* the head comes back as it was */
	assert_memory_equal(back, bytes, sizeof(struct vu_lxc_header) + kernel.seccomp_notif);
	memcpy(&answer, back + sizeof(struct vu_lxc_header) + kernel.seccomp_notif, sizeof(answer));
	assert_true(answer.id == chmod_call.id && answer.error == -EACCES);
	assert_true(!answer.flags && !answer.val);
	vu_lxc_message_done(&now);
	assert_int_equal(now.listener, -EBADF);
}

/* What must not be: and nothing stays open. */
static void test_descriptors(void **state)
{
	int mixed[4] = {three[0], three[1], three[2], three[2]};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int no_proc[3] = {null, three[1], three[2]}, no_mem[3] = {three[0], null, three[2]};
	int no_listener[3] = {three[0], three[1], three[0]};
	char bytes[VU_LXC_BYTES_MAX];
	size_t n = make(bytes, &chmod_call, "");
	const struct {
		const int *fds;
		size_t n;
	} rows[] = {{mixed, 4},	  {mixed, 2},  {mixed, 0},	{mixed + 1, 3},
		    {no_proc, 3}, {no_mem, 3}, {no_listener, 3}};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		handed_send(monitor, bytes, n, rows[i].fds, rows[i].n);
		if (vu_lxc_receive(ours, &kernel, &now) != VU_LXC_MALFORMED)
			fail_msg("row %zu", i);
	}
	close(null);
	handed_send(monitor, bytes, n, three, 3);
	assert_int_equal(vu_lxc_receive(ours, &kernel, &now), 0);
	vu_lxc_message_done(&now);
}

static void test_sizes(void **state)
{
	static char bytes[VU_LXC_BYTES_MAX + 1];
	size_t n = make(bytes, &chmod_call, "");

	(void)state;
	/* cut, or with more behind it */
	for (size_t size = 1; size < n + 2; size++) {
		handed_send(monitor, bytes, size, three, 3);
		assert_int_equal(vu_lxc_receive(ours, &kernel, &now),
				 size == n ? 0 : VU_LXC_MALFORMED);
		if (size == n)
			vu_lxc_message_done(&now);
	}
	handed_send(monitor, bytes, sizeof(bytes), three, 3);
	assert_int_equal(vu_lxc_receive(ours, &kernel, &now), VU_LXC_MALFORMED);
	shutdown(monitor, SHUT_WR);
	assert_int_equal(vu_lxc_receive(ours, &kernel, &now), VU_LXC_END);
}

static void test_gone(void **state)
{
	char bytes[VU_LXC_BYTES_MAX];
	size_t n = make(bytes, &chmod_call, "c");

	(void)state;
	handed_send(monitor, bytes, n, three, 3);
	assert_int_equal(vu_lxc_receive(ours, &kernel, &now), 0);
	close(monitor);
	monitor = dup(ours);
	assert_int_equal(vu_lxc_reply(ours, &now, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), -EPIPE);
	vu_lxc_message_done(&now);
}

/* Each field, one by one. */
static void test_fields(void **state)
{
	static const struct {
		size_t at, size;
		uint64_t value;
	} rows[] = {
		{0, 8, 1},
		{0, 8, UINT64_MAX},
		{8, 4, 0},
		{8, 4, UINT32_MAX},
		{12, 4, 0},
		{12, 4, 0x80000000},
		{16, 2, 0},
		{16, 2, 0xffff},
		{16, 2, 88},
		{18, 2, 0},
		{18, 2, 0xffff},
		{18, 2, 16},
		{20, 2, 0},
		{24, 8, 3},
		{24, 8, 5},
		{24, 8, UINT64_MAX},
		{24, 8, UINT64_C(0x100000004)},
		{40, 4, 0},
		{40, 4, UINT32_MAX},
	};
	char bytes[VU_LXC_BYTES_MAX];
	struct vu_lxc_call c;
	size_t n = make(bytes, &chmod_call, "web1");

	(void)state;
	assert_int_equal(vu_lxc_parse(bytes, n, &kernel, &c), 0);
	for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
		make(bytes, &chmod_call, "web1");
		memcpy(bytes + rows[i].at, &rows[i].value, rows[i].size);
		if (vu_lxc_parse(bytes, n, &kernel, &c) != VU_LXC_MALFORMED)
			fail_msg("row %zu", i);
	}
}

/* A kernel that has more in both structures. */
static void test_later_kernel(void **state)
{
	struct seccomp_notif_sizes was = kernel;
	char bytes[VU_LXC_BYTES_MAX];
	struct vu_lxc_call c;

	(void)state;
	kernel.seccomp_notif += 16;
	kernel.seccomp_notif_resp += 8;
	size_t n = make(bytes, &chmod_call, "web1");

	assert_int_equal(vu_lxc_parse(bytes, n, &was, &c), VU_LXC_MALFORMED);
	assert_int_equal(vu_lxc_parse(bytes, n, &kernel, &c), 0);
	assert_memory_equal(c.cookie, "web1", 4);
	assert_int_equal(vu_lxc_answer(bytes, &c, 0, 1), base_size());
	for (size_t i = c.answer_at + sizeof(struct seccomp_notif_resp); i < c.answer_size; i++)
		assert_int_equal(bytes[i], 0);
	/* one that had less would be none */
	kernel.seccomp_notif = 72;
	n = make(bytes, &chmod_call, "");
	assert_int_equal(vu_lxc_parse(bytes, n, &kernel, &c), VU_LXC_MALFORMED);
}

/* ---- a process that waits ---- */

/* What LXC's monitor does, with this answer. Returns what the process had of it. */
static int relay(int err, uint32_t flags)
{
	char bytes[VU_LXC_BYTES_MAX];
	union {
		struct seccomp_notif n;
		char room[512];
	} req = {0};
	int fds[3] = {three[0], three[1], handed_caller(&child)}, status;
	struct pollfd p = {fds[2], POLLIN, 0};

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(ioctl(fds[2], SECCOMP_IOCTL_NOTIF_RECV, &req), 0);
	handed_send(monitor, bytes, make(bytes, &req.n, "web1"), fds, 3);

	assert_int_equal(vu_lxc_receive(ours, &kernel, &now), 0);
	assert_int_equal(now.call.request.pid, child);
	assert_int_equal(ioctl(now.listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &now.call.request.id),
			 0);
	assert_int_equal(vu_lxc_reply(ours, &now, err, flags), 0);
	vu_lxc_message_done(&now);

	assert_int_equal(recv(monitor, bytes, sizeof(bytes), MSG_TRUNC), base_size());
	assert_int_equal(ioctl(fds[2], SECCOMP_IOCTL_NOTIF_SEND,
			       bytes + sizeof(struct vu_lxc_header) + kernel.seccomp_notif),
			 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	child = 0;
	close(fds[2]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_relay(void **state)
{
	(void)state;
	assert_int_equal(relay(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), ENOENT);
	assert_int_equal(relay(-ENOSPC, 0), ENOSPC);
	assert_int_equal(relay(0, 0), 0);
}

#define lxc_test(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lxc_test(test_message), lxc_test(test_descriptors), lxc_test(test_sizes),
		lxc_test(test_gone),	lxc_test(test_fields),	    lxc_test(test_later_kernel),
		lxc_test(test_relay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
