/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who connects: root, others, roots of other namespaces; and where the listening socket is. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fork.h"
#include "cow/handoff-peer.h"
#include "scratch.h"

static char dir[SCRATCH_MAX];
static struct sockaddr_un address;
static int listening = -1, proc = -1;
static pid_t child;

static void need_root(void)
{
	if (geteuid()) {
		print_message("# skip: needs root\n");
		skip();
	}
}

static int listen_at(const char *path, size_t n)
{
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address.sun_path, path, n);
	if (s < 0 ||
	    bind(s, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) ||
	    listen(s, 4))
		return -1;
	return s;
}

static int set_up(void **state)
{
	char path[SCRATCH_PATH_MAX];

	(void)state;
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || !scratch_dir(dir, "handoff"))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	listening = listen_at(path, strlen(path));
	return listening < 0 || chmod(path, 0600);
}

static int tear_down(void **state)
{
	(void)state;
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
	close(listening);
	close(proc);
	unlink(address.sun_path);
	return rmdir(dir);
}

static bool write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text);
}

/* Who connects; in a child. */
enum who {
	ROOT,
	NOBODY,
	OTHER_ROOT /* of a user namespace, by which it still is uid 0 outside */
};

static bool become(enum who who)
{
	switch (who) {
	case ROOT:
		return true;
	case NOBODY:
		return !setgid(65534) && !setuid(65534);
	default:
		return !unshare(CLONE_NEWUSER) && write_to("/proc/self/uid_map", "0 0 1");
	}
}

/* By a name in the working directory: those above it are root's alone. */
static int connect_it(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return s < 0 || connect(s, (struct sockaddr *)&a, sizeof(a)) ? -1 : s;
}

/* Connects as somebody, who lives on or ends before anybody asks. Returns what is said of him. */
static int ask(enum who who, bool ends)
{
	int go[2], r, status;
	pid_t pid = 0;
	char c;

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		if (chdir(dir) || !become(who) || connect_it() < 0 || write(go[1], "x", 1) != 1)
			_exit(1);
		if (!ends)
			pause();
		_exit(0);
	}
	close(go[1]);
	assert_int_equal(read(go[0], &c, 1), 1);
	close(go[0]);
	if (ends) {
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	int s = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

	assert_true(s >= 0);
	r = vu_handoff_check_peer(s, proc, &pid);
	assert_int_equal(pid, child);
	close(s);
	if (!ends) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
	return r;
}

static void test_peer(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(ask(ROOT, false), 0);
	assert_int_equal(ask(ROOT, true), 0);
	assert_int_equal(chmod(address.sun_path, 0666) || chmod(dir, 0755), 0);
	assert_int_equal(ask(NOBODY, false), VU_HANDOFF_STRANGER);
	assert_int_equal(ask(NOBODY, true), VU_HANDOFF_STRANGER);
}

static bool has_user_namespaces(void)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(unshare(CLONE_NEWUSER) ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return !status;
}

static void test_peer_of_user_namespace(void **state)
{
	(void)state;
	need_root();
	if (!has_user_namespaces()) {
		print_message("# skip: no user namespaces\n");
		skip();
	}
	assert_int_equal(chmod(address.sun_path, 0666) || chmod(dir, 0755), 0);
	assert_int_equal(ask(OTHER_ROOT, false), VU_HANDOFF_STRANGER);
}

/* A number that cannot be seen from here. */
static void test_peer_of_pid_namespace(void **state)
{
	int s[2], status;

	(void)state;
	need_root();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	pid_t pid = vu_fork(CLONE_NEWPID, NULL);

	assert_true(pid >= 0);
	if (!pid) {
		pid_t told = 7;

		_exit(vu_handoff_check_peer(s[0], proc, &told) != VU_HANDOFF_STRANGER || told);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(vu_handoff_check_peer(s[0], proc, NULL), 0);
	close(s[0]);
	close(s[1]);
	s[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(vu_handoff_check_peer(s[0], proc, NULL), -ENOTSOCK);
	close(s[0]);
}

static void test_socket(void **state)
{
	static const mode_t open_modes[] = {0660, 0606, 0602, 0620, 0666};

	(void)state;
	need_root();
	assert_int_equal(vu_handoff_check_socket(listening), 0);
	for (size_t i = 0; i < VU_ARRAY_SIZE(open_modes); i++) {
		assert_int_equal(chmod(address.sun_path, open_modes[i]), 0);
		assert_int_equal(vu_handoff_check_socket(listening), VU_HANDOFF_OPEN);
	}
	assert_int_equal(chmod(address.sun_path, 0600), 0);
	assert_int_equal(chown(address.sun_path, 1, 0), 0);
	assert_int_equal(vu_handoff_check_socket(listening), VU_HANDOFF_OPEN);
	assert_int_equal(chown(address.sun_path, 0, 0), 0);
	assert_int_equal(vu_handoff_check_socket(listening), 0);
}

static void test_directory(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(chmod(dir, 0770), 0);
	assert_int_equal(vu_handoff_check_socket(listening), VU_HANDOFF_OPEN);
	assert_int_equal(chmod(dir, 0757), 0);
	assert_int_equal(vu_handoff_check_socket(listening), VU_HANDOFF_OPEN);
	assert_int_equal(chmod(dir, 01777), 0);
	assert_int_equal(vu_handoff_check_socket(listening), 0);
	assert_int_equal(chmod(dir, 0700) || chown(dir, 1, 0), 0);
	assert_int_equal(vu_handoff_check_socket(listening), VU_HANDOFF_OPEN);
	assert_int_equal(chown(dir, 0, 0), 0);
	/* the name is gone, or something else */
	assert_int_equal(unlink(address.sun_path), 0);
	assert_int_equal(vu_handoff_check_socket(listening), -ENOENT);
	assert_int_equal(symlink("/dev/log", address.sun_path), 0);
	assert_int_equal(vu_handoff_check_socket(listening), VU_HANDOFF_OPEN);
}

static void test_no_name(void **state)
{
	struct sockaddr_un was = address;
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(vu_handoff_check_socket(s), VU_HANDOFF_OPEN);
	close(s);
	/* abstract */
	s = listen_at("\0vunify-test", 12);
	assert_true(s >= 0);
	assert_int_equal(vu_handoff_check_socket(s), VU_HANDOFF_OPEN);
	close(s);
	address = was;
	assert_int_equal(vu_handoff_check_socket(proc), -EBADF);
}

/* As long as a name can be, without a NUL. */
static void test_long_name(void **state)
{
	char path[sizeof(address.sun_path)];
	size_t n = strlen(dir);
	struct sockaddr_un was = address;
	int s;

	(void)state;
	need_root();
	memset(path, 'x', sizeof(path));
	memcpy(path, dir, n);
	path[n] = '/';
	s = listen_at(path, sizeof(path));
	assert_true(s >= 0);

	char name[sizeof(path) + 1] = "";

	memcpy(name, path, sizeof(path));
	assert_int_equal(chmod(name, 0600), 0);
	assert_int_equal(vu_handoff_check_socket(s), 0);
	assert_int_equal(chmod(name, 0606), 0);
	assert_int_equal(vu_handoff_check_socket(s), VU_HANDOFF_OPEN);
	close(s);
	unlink(name);
	address = was;
}

#define peer_test(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		peer_test(test_peer),
		peer_test(test_peer_of_user_namespace),
		peer_test(test_peer_of_pid_namespace),
		peer_test(test_socket),
		peer_test(test_directory),
		peer_test(test_no_name),
		peer_test(test_long_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
