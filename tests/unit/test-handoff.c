/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of OCI runtimes by real sockets with real listeners: whole, in pieces, and what is none. After each
 * nothing is open that was not before. test-handoff-runtimes.c has runtimes send them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cow/handoff.h"
#include "cow/passed.h"
#include "handed.h"

/* As runc 1.1.5 and crun 1.8.1 write them. */
#define STATE(id)                                                                                  \
	"{\"ociVersion\":\"1.0.2-dev\",\"id\":\"" id "\",\"status\":\"creating\",\"pid\":4422,"    \
	"\"bundle\":\"/ct/web1\"}"
#define TOP(rest) "{\"fds\":[\"seccompFd\"]," rest "}"
static const char compact[] = "{\"ociVersion\":\"1.0.2-dev\",\"fds\":[\"seccompFd\"],\"pid\":4422,"
			      "\"metadata\":\"web1\",\"state\":" STATE("c1") "}";
static const char indented[] = "{\n    \"ociVersion\": \"1.0\",\n    \"fds\": [\n"
			       "        \"seccompFd\"\n    ],\n    \"pid\": 4422,\n"
			       "    \"metadata\": \"web1\",\n    \"state\": {\n"
			       "        \"ociVersion\": \"1.0\",\n        \"id\": \"c1\",\n"
			       "        \"status\": \"creating\",\n        \"pid\": 4422,\n"
			       "        \"bundle\": \"/ct/web1\",\n        \"annotations\": {}\n"
			       "    }\n}\n";

static int listener = -1;
static size_t n_before;

static int set_up(void **state)
{
	(void)state;
	listener = handed_listener();
	n_before = handed_n_open();
	return 0;
}

/* What is open is what was open. */
static int tear_down(void **state)
{
	size_t n = handed_n_open();

	(void)state;
	close(listener);
	if (n != n_before)
		print_error("%zu descriptors are open, not %zu\n", n, n_before);
	return n != n_before;
}

struct wire {
	int ours, theirs;
	struct vu_handoff_reader *r;
};

static struct wire connect_wire(void)
{
	struct wire w;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	w.ours = s[0];
	w.theirs = s[1];
	w.r = vu_handoff_reader_new(w.ours);
	assert_non_null(w.r);
	return w;
}

static void drop_wire(struct wire *w)
{
	vu_handoff_reader_free(w->r);
	close(w->ours);
	close(w->theirs);
}

/* The runtime has sent all, and does not close: neither runc nor crun does. Drops the wire. */
static int take(struct wire *w, struct vu_handoff **ret)
{
	int r = vu_handoff_read(w->r, ret);

	if (r == VU_HANDOFF_MALFORMED)
		assert_true(*vu_handoff_why(w->r));
	drop_wire(w);
	return r;
}

/* It has closed as well. */
static int finish(struct wire *w, struct vu_handoff **ret)
{
	shutdown(w->theirs, SHUT_WR);
	return take(w, ret);
}

static void expect_web1(struct vu_handoff *h)
{
	assert_string_equal(h->id, "c1");
	assert_string_equal(h->metadata, "web1");
	assert_int_equal(h->pid, 4422);
	assert_int_equal(h->init, 4422);
	assert_true(h->creating);
	assert_true(vu_passed_is_listener(h->listener));
	assert_int_equal(fcntl(h->listener, F_GETFD), FD_CLOEXEC);
	vu_handoff_free(h);
}

static int send_whole(const char *text, const int *fds, size_t n_fds, struct vu_handoff **ret)
{
	struct wire w = connect_wire();

	handed_send(w.theirs, text, strlen(text), fds, n_fds);
	return take(&w, ret);
}

static void test_whole(void **state)
{
	struct vu_handoff *h = NULL;

	(void)state;
	assert_int_equal(send_whole(compact, &listener, 1, &h), 0);
	expect_web1(h);
	assert_int_equal(send_whole(indented, &listener, 1, &h), 0);
	expect_web1(h);
}

/* In two pieces, cut anywhere, the descriptor with the one or the other. */
static void test_pieces(void **state)
{
	size_t size = strlen(compact);

	(void)state;
	for (size_t i = 1; i < size; i++) {
		for (int second = 0; second < 2; second++) {
			struct wire w = connect_wire();
			struct vu_handoff *h = NULL;

			assert_int_equal(vu_handoff_read(w.r, &h), VU_HANDOFF_MORE);
			handed_send(w.theirs, compact, i, &listener, !second);
			if (i % 2)
				assert_int_equal(vu_handoff_read(w.r, &h), VU_HANDOFF_MORE);
			handed_send(w.theirs, compact + i, size - i, &listener, (size_t)second);
			assert_int_equal(i % 3 ? take(&w, &h) : finish(&w, &h), 0);
			expect_web1(h);
		}
	}
}

static void test_bytes(void **state)
{
	struct wire w = connect_wire();
	struct vu_handoff *h = NULL;

	(void)state;
	/* but for the brace at the end, and the new line */
	for (size_t i = 0; i < strlen(indented) - 2; i++) {
		handed_send(w.theirs, indented + i, 1, &listener, i == 20);
		assert_int_equal(vu_handoff_read(w.r, &h), VU_HANDOFF_MORE);
	}
	handed_send(w.theirs, "}", 1, NULL, 0);
	assert_int_equal(take(&w, &h), 0);
	expect_web1(h);
}

/* Braces and quotes in strings are no end; what is behind the end makes it another message. */
static void test_end(void **state)
{
	static const char text[] = TOP("\"pid\":4422,\"x\":\"}\\\"}\\\\\",\"}\":[{}],\"metadata\":"
				       "\"web1\",\"state\":" STATE("c1"));
	static const char *const behind[] = {"}", "{}", "x", "\""};
	struct vu_handoff *h = NULL;
	char longer[sizeof(text) + 2];

	(void)state;
	for (size_t i = 1; i < strlen(text); i++) {
		struct wire w = connect_wire();

		handed_send(w.theirs, text, i, &listener, 1);
		assert_int_equal(take(&w, &h), VU_HANDOFF_MORE);
	}
	assert_int_equal(send_whole(text, &listener, 1, &h), 0);
	expect_web1(h);
	h = NULL;
	for (size_t i = 0; i < VU_ARRAY_SIZE(behind); i++) {
		snprintf(longer, sizeof(longer), "%s%s", text, behind[i]);
		assert_int_equal(send_whole(longer, &listener, 1, &h), VU_HANDOFF_MALFORMED);
		snprintf(longer, sizeof(longer), "%s%s", behind[i], text);
		assert_int_equal(send_whole(longer, &listener, 1, &h), VU_HANDOFF_MALFORMED);
	}
	assert_null(h);
}

/* A reader that is given up in the middle. */
static void test_given_up(void **state)
{
	struct wire w = connect_wire();
	struct vu_handoff *h = NULL;

	(void)state;
	handed_send(w.theirs, compact, 10, &listener, 1);
	assert_int_equal(vu_handoff_read(w.r, &h), VU_HANDOFF_MORE);
	drop_wire(&w);
	assert_null(h);
}

static void test_empty(void **state)
{
	struct wire w = connect_wire();
	struct vu_handoff *h = NULL;

	(void)state;
	assert_int_equal(finish(&w, &h), VU_HANDOFF_EMPTY);
	/* cut short, with the listener in it */
	for (size_t i = 1; i < strlen(compact); i += 7) {
		w = connect_wire();
		handed_send(w.theirs, compact, i, &listener, 1);
		assert_int_equal(finish(&w, &h), VU_HANDOFF_MALFORMED);
	}
	assert_null(h);
}

/* What the daemon wrote was not read by who closes. */
static void test_reset(void **state)
{
	struct wire w = connect_wire();
	struct vu_handoff *h = NULL;

	(void)state;
	handed_send(w.theirs, compact, 10, &listener, 1);
	assert_int_equal(vu_handoff_read(w.r, &h), VU_HANDOFF_MORE);
	assert_int_equal(write(w.ours, "x", 1), 1);
	close(w.theirs);
	assert_int_equal(vu_handoff_read(w.r, &h), -ECONNRESET);
	w.theirs = dup(w.ours);
	drop_wire(&w);
	assert_null(h);
}

/* Padded to a size. */
static int send_long(size_t size, struct vu_handoff **ret)
{
	struct wire w = connect_wire();
	int room = 1 << 20;
	char *text = malloc(size);

	assert_non_null(text);
	assert_int_equal(setsockopt(w.theirs, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	memset(text, ' ', size);
	memcpy(text, compact, strlen(compact) - 1);
	text[size - 1] = '}';
	handed_send(w.theirs, text, size, &listener, 1);
	free(text);
	return finish(&w, ret);
}

static void test_long(void **state)
{
	struct vu_handoff *h = NULL;

	(void)state;
	assert_int_equal(send_long(VU_HANDOFF_BYTES_MAX + 1, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_long(2 * VU_HANDOFF_BYTES_MAX, &h), VU_HANDOFF_MALFORMED);
	assert_null(h);
	assert_int_equal(send_long(VU_HANDOFF_BYTES_MAX, &h), 0);
	expect_web1(h);
}

/* A message that names descriptors so, with so many. */
static int send_fds(const char *names, const int *fds, size_t n, struct vu_handoff **ret)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"fds\":%s,\"pid\":4422,\"metadata\":\"web1\",\"state\":%s}",
		 names, STATE("c1"));
	return send_whole(text, fds, n, ret);
}

static void test_descriptors(void **state)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int three[3] = {null, listener, null}, many[VU_PASSED_MAX];
	struct vu_handoff *h = NULL;

	(void)state;
	for (size_t i = 0; i < VU_PASSED_MAX; i++)
		many[i] = listener;
	assert_int_equal(send_fds("[\"a\",\"seccompFd\",\"seccompfd\"]", three, 3, &h), 0);
	expect_web1(h);
	h = NULL;
	assert_int_equal(send_fds("[\"seccompFd\",\"a\"]", three, 2, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[\"seccompFd\"]", three, 1, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[\"seccompFd\"]", NULL, 0, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[]", NULL, 0, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[]", &listener, 1, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[\"seccompFd\"]", three + 1, 2, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[\"seccompFd\"]", many, VU_PASSED_MAX, &h),
			 VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[\"seccompFd\",\"a\"]", &listener, 1, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[\"seccompFd\",\"seccompFd\"]", many, 2, &h),
			 VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[\"a\",\"b\"]", many, 2, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("[\"seccompFd\",7]", many, 2, &h), VU_HANDOFF_MALFORMED);
	assert_int_equal(send_fds("\"seccompFd\"", many, 1, &h), VU_HANDOFF_MALFORMED);
	assert_null(h);
	close(null);
}

/* Descriptors in several pieces; and more than there may be. */
static void test_descriptors_apart(void **state)
{
	struct wire w = connect_wire();
	struct vu_handoff *h = NULL;
	int many[VU_PASSED_MAX];
	static const char text[] = "{\"fds\":[\"a\",\"seccompFd\"],\"pid\":4422,\"metadata\":"
				   "\"web1\",\"state\":" STATE("c1") "}";
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	handed_send(w.theirs, text, 20, &null, 1);
	handed_send(w.theirs, text + 20, strlen(text) - 20, &listener, 1);
	assert_int_equal(finish(&w, &h), 0);
	expect_web1(h);
	close(null);

	h = NULL;
	for (size_t i = 0; i < VU_PASSED_MAX; i++)
		many[i] = listener;
	w = connect_wire();
	handed_send(w.theirs, text, 20, many, VU_PASSED_MAX);
	handed_send(w.theirs, text + 20, 1, many, 2);
	assert_int_equal(vu_handoff_read(w.r, &h), VU_HANDOFF_MALFORMED);
	assert_null(h);
	/* closed at once, not when the reader ends: w's own two are open */
	assert_int_equal(handed_n_open(), n_before + 2);
	drop_wire(&w);
}

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static unsigned n_ioctls;

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	n_ioctls++;
	return __real_ioctl(fd, request, arg);
}

/* A descriptor that only names the listener (O_PATH): of no use. */
static void test_named_listener(void **state)
{
	struct vu_handoff *h = NULL;
	char path[40];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", listener);
	fd = open(path, O_PATH | O_CLOEXEC);
	assert_true(fd >= 0 && !vu_passed_is_listener(fd));
	assert_int_equal(send_whole(compact, &fd, 1, &h), VU_HANDOFF_MALFORMED);
	close(fd);
}

/* Anything but a listener, by the name that would be one, and without an ioctl that might do something. */
static void test_no_listener(void **state)
{
	int fds[5], s[2];
	struct vu_handoff *h = NULL;

	(void)state;
	n_ioctls = 0;
	/* "/memfd:vu-test8 (deleted)": a name of the same length */
	fds[4] = memfd_create("vu-test8", MFD_CLOEXEC);
	fds[0] = memfd_create("anon_inode:seccomp notify", MFD_CLOEXEC);
	fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fds[2] = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	fds[3] = s[0];
	for (size_t i = 0; i < 5; i++) {
		assert_true(fds[i] >= 0 && !vu_passed_is_listener(fds[i]));
		assert_int_equal(send_whole(compact, &fds[i], 1, &h), VU_HANDOFF_MALFORMED);
		close(fds[i]);
	}
	close(s[1]);
	assert_null(h);
	assert_false(vu_passed_is_listener(-1));
	assert_int_equal(n_ioctls, 0);
	assert_true(vu_passed_is_listener(listener) && n_ioctls == 1);
}

/* No more descriptors may be opened: not the runtime's fault. */
static void test_full(void **state)
{
	struct wire w = connect_wire();
	struct rlimit was, full;
	struct vu_handoff *h = NULL;
	int r, next = dup(0);

	(void)state;
	close(next);
	handed_send(w.theirs, compact, strlen(compact), &listener, 1);
	shutdown(w.theirs, SHUT_WR);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	full = (struct rlimit){(rlim_t)next, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	r = vu_handoff_read(w.r, &h);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(r, -EMFILE);
	assert_null(h);
	drop_wire(&w);
}

#define wire_test(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wire_test(test_whole),	     wire_test(test_pieces),
		wire_test(test_bytes),	     wire_test(test_end),
		wire_test(test_given_up),    wire_test(test_empty),
		wire_test(test_reset),	     wire_test(test_long),
		wire_test(test_descriptors), wire_test(test_descriptors_apart),
		wire_test(test_no_listener), wire_test(test_named_listener),
		wire_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
