/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection of LXC's monitor in the place of a listener: this test is the monitor, and has real processes that wait.
 * Who has taken a message dies at each step, and the next one does what is right for the monitor: no answer too many,
 * none too late.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cow/notify.h"
#include "handed.h"

static struct seccomp_notif_sizes kernel;
static int monitor = -1, ours = -1; /* the two ends */
static int listener = -1;	    /* of child */
static int proc = -1, mem = -1;
static struct vu_notify_slot *slot;
static struct vu_notify *notify;
static size_t n_before;
static pid_t child;
static union {
	struct seccomp_notif n;
	char room[512];
} asked;

static int set_up(void **state)
{
	int s[2];

	(void)state;
	slot = mmap(NULL, sizeof(*slot), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (slot == MAP_FAILED || vu_lxc_sizes(&kernel) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s))
		return -1;
	monitor = s[0];
	ours = s[1];
	proc = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	listener = handed_caller(&child);
	n_before = handed_n_open();
	return vu_lxc_channel_prepare(ours) || vu_notify_new(ours, slot, &notify);
}

static void end_child(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
}

static int tear_down(void **state)
{
	(void)state;
	notify = vu_notify_free(notify);
	end_child();
	size_t n = handed_n_open();

	close(listener);
	close(mem);
	close(proc);
	close(monitor);
	close(ours);
	munmap(slot, sizeof(*slot));
	if (n != n_before)
		print_error("%zu descriptors are open, not %zu\n", n, n_before);
	return n != n_before;
}

/* ---- what the monitor does ---- */

static void send_message(pid_t by)
{
	char bytes[VU_LXC_BYTES_MAX];
	int fds[3] = {proc, mem, listener};

	handed_send(monitor, bytes, handed_lxc_message(bytes, &kernel, by, &asked.n, "web1"), fds,
		    3);
}

/* Takes the child's call, and passes it on. */
static void pass_on(void)
{
	struct pollfd p = {listener, POLLIN, 0};

	memset(&asked, 0, sizeof(asked));
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked), 0);
	send_message(getpid());
}

/* One of a call that nobody waits for. */
static void pass_on_unknown(void)
{
	asked.n = (struct seccomp_notif){.id = 1, .pid = 4422, .data = {.nr = 90}};
	send_message(getpid());
}

/* The answer, which is for the call that was passed on; or -1: the connection has ended; 1: there is none. */
static int answer(struct seccomp_notif_resp *ret)
{
	char bytes[VU_LXC_BYTES_MAX];
	ssize_t n = recv(monitor, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 1;
	}
	if (!n)
		return -1;
	memcpy(ret, bytes + sizeof(struct vu_lxc_header) + kernel.seccomp_notif, sizeof(*ret));
	assert_true(ret->id == asked.n.id);
	return 0;
}

static void wants_answer(int err, uint32_t flags)
{
	struct seccomp_notif_resp resp;

	assert_int_equal(answer(&resp), 0);
	assert_int_equal(resp.error, err);
	assert_int_equal(resp.flags, flags);
}

static void wants_no_answer(void)
{
	struct seccomp_notif_resp resp;

	assert_int_equal(answer(&resp), 1);
}

static void wants_end(void)
{
	struct seccomp_notif_resp resp;

	assert_int_equal(answer(&resp), -1);
}

/* ---- */

static const struct seccomp_notif *take(void)
{
	const struct seccomp_notif *req = NULL;

	assert_int_equal(vu_notify_receive(notify, &req), 0);
	assert_memory_equal(req, &asked.n, sizeof(asked.n));
	return req;
}

/* Whoever has the slot now dies: another comes. */
static const struct seccomp_notif *next(void)
{
	notify = vu_notify_free(notify);
	assert_int_equal(vu_notify_new(ours, slot, &notify), 0);
	return vu_notify_left(notify);
}

static void test_answers(void **state)
{
	(void)state;
	assert_null(vu_notify_left(notify));
	pass_on();
	uint64_t id = take()->id;

	assert_true(vu_notify_is_valid(notify, id));
	assert_false(vu_notify_is_valid(notify, id + 1));
	wants_no_answer();
	assert_int_equal(vu_notify_continue(notify, id), 0);
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	/* once */
	assert_int_equal(vu_notify_continue(notify, id), -ENOENT);
	wants_no_answer();
	assert_null(next());
	wants_no_answer();
	pass_on_unknown();
	assert_int_equal(vu_notify_fail(notify, take()->id, -ENOSPC), 0);
	wants_answer(-ENOSPC, 0);
	shutdown(monitor, SHUT_RDWR);
	assert_int_equal(vu_notify_receive(notify, &(const struct seccomp_notif *){NULL}), -EPIPE);
}

static void test_replaces_descriptors(void **state)
{
	char link[64], path[64];

	(void)state;
	pass_on();
	uint64_t id = take()->id;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(vu_notify_replace_fd(notify, id, null, 150, false), 0);
	close(null);
	snprintf(path, sizeof(path), "/proc/%d/fd/150", (int)child);
	ssize_t n = readlink(path, link, sizeof(link));

	assert_true(n == 9 && !memcmp(link, "/dev/null", 9));
	/* the table is this process's, too */
	assert_int_equal(close(150), 0);
	assert_int_equal(vu_notify_continue(notify, id), 0);
}

/* It was taken, and he who took it was killed. */
static void test_left(void **state)
{
	const struct seccomp_notif *req = NULL;

	(void)state;
	pass_on();
	pid_t other = fork();

	if (!other) {
		if (!vu_notify_receive(notify, &req))
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(other, NULL, 0), other);
	assert_non_null(req = next());
	assert_memory_equal(req, &asked.n, sizeof(asked.n));
	assert_true(vu_notify_is_valid(notify, req->id));
	/* one more */
	assert_non_null(req = next());
	assert_int_equal(vu_notify_continue(notify, req->id), 0);
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	assert_null(next());
	wants_no_answer();
}

/* It was carried out, too. */
static void test_left_and_done(void **state)
{
	const struct seccomp_notif *req;

	(void)state;
	pass_on();
	vu_notify_note_done(notify); /* there is nothing at hand */
	uint64_t id = take()->id;

	assert_false(vu_notify_is_done(notify, id));
	vu_notify_note_done(notify);
	assert_non_null(req = next());
	assert_true(vu_notify_is_done(notify, req->id));
	assert_int_equal(vu_notify_done(notify, req->id), 0);
	wants_answer(0, 0);
}

/* Killed before it could note when the message was sent. */
static void test_left_at_once(void **state)
{
	const struct seccomp_notif *req;

	(void)state;
	pass_on();
	take();
	atomic_store(&slot->lxc.sent_ns, 0);
	assert_non_null(req = next());
	assert_int_equal(vu_notify_continue(notify, req->id), 0);
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

/* Nobody waits any more, but the monitor does. */
static void test_left_and_gone(void **state)
{
	(void)state;
	pass_on();
	take();
	end_child();
	assert_null(next());
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	wants_no_answer();
}

/* ... or not: that cannot be known. */
static void test_left_and_gone_at_once(void **state)
{
	(void)state;
	pass_on();
	take();
	atomic_store(&slot->lxc.sent_ns, 0);
	end_child();
	assert_null(next());
	wants_end();
}

/* The child's call is taken; whoever has taken it is killed while he answers, and has sent the answer or not. */
static void killed_while_answering(bool sent)
{
	char message[VU_LXC_BYTES_MAX];
	int64_t sent_ns;

	pass_on();
	take();
	memcpy(message, slot->lxc.message, sizeof(message));
	sent_ns = atomic_load(&slot->lxc.sent_ns);
	if (sent)
		assert_int_equal(vu_notify_continue(notify, asked.n.id), 0);
	memcpy(slot->lxc.message, message, sizeof(message));
	atomic_store(&slot->lxc.sent_ns, sent_ns);
	atomic_store(&slot->lxc.answering, 1);
}

static void goes_on(void)
{
	assert_int_equal(atomic_load(&slot->lxc.answering), 0);
	pass_on_unknown();
	assert_int_equal(vu_notify_fail(notify, take()->id, -ENOSPC), 0);
	wants_answer(-ENOSPC, 0);
	wants_no_answer();
}

static void test_answering(void **state)
{
	(void)state;
	killed_while_answering(false);
	assert_null(next());
	wants_end();
	/* the next connection is as new */
	assert_int_equal(atomic_load(&slot->lxc.answering), 0);
}

static void test_answered(void **state)
{
	(void)state;
	killed_while_answering(true);
	assert_null(next());
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	goes_on();
}

/* The monitor has read it, and the call has gone on. */
static void test_answered_and_read(void **state)
{
	(void)state;
	killed_while_answering(true);
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	end_child();
	assert_null(next());
	goes_on();
}

/* ... and it has sent the next message. */
static void test_answered_and_asked(void **state)
{
	struct seccomp_notif first;

	(void)state;
	killed_while_answering(true);
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	first = asked.n;
	pass_on_unknown();
	assert_null(next());
	assert_int_not_equal(take()->id, first.id);
	assert_int_equal(vu_notify_continue(notify, asked.n.id), 0);
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	wants_no_answer();
}

/* The monitor has read it, and has not done with it yet: that cannot be told from one that has not got it. */
static void test_answered_and_slow(void **state)
{
	(void)state;
	killed_while_answering(true);
	wants_answer(0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
	assert_null(next());
	wants_end();
}

/* The monitor has answered it by now. */
static void test_late(void **state)
{
	(void)state;
	pass_on();
	take();
	atomic_fetch_sub(&slot->lxc.sent_ns, INT64_C(26000000000));
	assert_int_equal(vu_notify_continue(notify, asked.n.id), -ENOENT);
	wants_end();
}

/* What was sent before it was asked when: it may have waited for long. */
static void test_stale(void **state)
{
	const struct seccomp_notif *req = NULL;

	(void)state;
	pass_on_unknown();
	assert_int_equal(vu_notify_receive(notify, &req), -ETIMEDOUT);
	assert_null(req);
	wants_end();
	assert_null(next());
}

/* Another's numbers of processes. */
static void test_other_monitor(void **state)
{
	const struct seccomp_notif *req = NULL;

	(void)state;
	pass_on_unknown();
	recv(ours, &(char){0}, 1, 0);
	send_message(getpid() + 1);
	assert_int_equal(vu_notify_receive(notify, &req), -EPROTO);
	wants_end();
}

static void test_time(void **state)
{
	struct timespec t;

	(void)state;
	pass_on();
	usleep(50000);
	take();
	clock_gettime(CLOCK_REALTIME, &t);
	int64_t age = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec - slot->lxc.sent_ns;

	assert_true(age > 45000000 && age < INT64_C(20000000000));
}

static void test_kinds(void **state)
{
	int s[2];

	(void)state;
	assert_true(vu_notify_is_source(ours));
	assert_true(vu_notify_is_source(listener));
	assert_false(vu_notify_is_source(mem));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	assert_false(vu_notify_is_source(s[0]));
	close(s[0]);
	close(s[1]);
}

#define t(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(test_answers),
		t(test_replaces_descriptors),
		t(test_left),
		t(test_left_and_done),
		t(test_left_at_once),
		t(test_left_and_gone),
		t(test_left_and_gone_at_once),
		t(test_answering),
		t(test_answered),
		t(test_answered_and_read),
		t(test_answered_and_asked),
		t(test_answered_and_slow),
		t(test_late),
		t(test_stale),
		t(test_other_monitor),
		t(test_time),
		t(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
