/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a command starts in a guest, and what it is given. How it ends: test-enter-end.c; its mounts:
 * test-enter-mounts.c; on a terminal: test-enter-terminal.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/seccomp.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "enter-guest.h"

struct program {
	unsigned flags;
	const char *name;
	int exit_code, error;
};

static int play_program(void *arg)
{
	const struct program *p = arg;
	_cleanup_fd_ int root = open(enter_guest, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *argv[] = {(char *)(uintptr_t)p->name, NULL};
	char *environment[] = {(char *)(uintptr_t) "PATH=/host-only", NULL};
	struct vu_enter how = {root, p->flags, "guest", argv, environment, NULL};
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;

	ENTER_CHECK(!vu_enter(e, &how) && !vu_enter_go(e) && enter_wait(e, &end));
	ENTER_CHECK(end.exit_code == p->exit_code && end.error == p->error && !end.signal);
	vu_entered_free(e);
	return 0;
}

static void test_programs(void **state)
{
	struct program rows[] = {
		{0, "missing", 127, -ENOENT},
		{0, "/missing/x", 127, -ENOENT},
		{0, "plain", 126, -EACCES},
		{0, "/etc", 126, -EACCES},
		{0, "own", 5, 0},
		{0, "/usr/local/bin/own", 5, 0},
		{0, "outside", 127, -ENOENT},
	};

	(void)state;
	if (geteuid())
		skip();
	enter_host("cd %s; echo x >usr/local/bin/plain; printf '#!/bin/sh\\nexit 5\\n' "
		   ">usr/local/bin/own; chmod 755 usr/local/bin/own; ln -s %s.host/outside "
		   "usr/local/bin/outside; cp usr/bin/env %s.host/outside",
		   enter_guest, enter_guest, enter_guest);
	for (size_t w = 0; w < VU_ARRAY_SIZE(enter_ways); w++)
		for (size_t i = 0; i < VU_ARRAY_SIZE(rows); i++) {
			rows[i].flags = enter_ways[w];
			enter_play(play_program, &rows[i]);
		}
	enter_host("rm %s/usr/local/bin/* %s.host/*", enter_guest, enter_guest);
}

static int play_environment(void *arg)
{
	_cleanup_fd_ int root = open(enter_guest, O_PATH | O_DIRECTORY | O_CLOEXEC);
	static const char *const host[] = {
		"PATH=/x",	"HOME=/x",    "TERM=vt100",	  "TERMINAL=x",
		"LC_ALL=C",	"LANG=de",    "LANGUAGE=x",	  "LANGX=1",
		"HTTP_PROXY=p", "no_proxy=n", "SSH_AUTH_SOCK=/s", "DBUS=x",
		"USER=me",	"LC_X=",      "NOTHING",	  NULL};
	char *argv[] = {(char *)(uintptr_t) "env", NULL};
	struct vu_enter how = {root, *(unsigned *)arg,	       "guest",
			       argv, (char **)(uintptr_t)host, NULL};
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;

	ENTER_CHECK(!vu_enter(e, &how) && !vu_enter_go(e) && enter_wait(e, &end));
	ENTER_CHECK(end.exit_code == 0);
	vu_entered_free(e);
	return 0;
}

static void test_environment(void **state)
{
	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(enter_ways); i++) {
		enter_play_way(play_environment, enter_ways[i]);
		enter_assert_output(
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\n"
			"SHELL=/bin/sh\nUSER=root\nLOGNAME=root\nTERM=vt100\nLC_ALL=C\nLANG=de\n"
			"LANGUAGE=x\nHTTP_PROXY=p\nno_proxy=n\nLC_X=\n");
	}
}

/* Descriptors, signals, groups and umask of the caller do not get into the guest. */
static int play_login(void *arg)
{
	static const char script[] =
		"umask; pwd; id; perl -e 'for (0..99) { print \"fd $_\\n\" if open F, \"<&=\", $_ }'; "
		"while read -r l; do case $l in SigBlk*|SigIgn*) echo $l;; esac; done </proc/self/status";
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;
	sigset_t all;

	const gid_t groups[] = {0, 4242};

	umask(077);
	ENTER_CHECK(!setgroups(2, groups));
	ENTER_CHECK(dup2(1, 77) == 77);
	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGCHLD, &ignore, NULL);
	sigaction(SIGQUIT, &ignore, NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	ENTER_CHECK(!enter_shell(e, *(unsigned *)arg, NULL, script));
	ENTER_CHECK(!vu_enter_go(e) && enter_wait(e, &end));
	vu_entered_free(e);
	return 0;
}

static void test_login(void **state)
{
	(void)state;
	enter_play_way(play_login, 0);
	enter_assert_output("0022\n/\nuid=0 gid=0 groups=0\nfd 0\nfd 1\nfd 2\n"
			    "SigBlk: 0000000000000000\nSigIgn: 0000000000000004\n"); /* SIGQUIT */
	enter_play_way(play_login, VU_ENTER_CHROOT_ONLY);
	enter_assert_output("0022\n/\nuid=0 gid=0 groups=0\nfd 0\nfd 1\nfd 2\n"
			    "sh: 1: cannot open /proc/self/status: No such file\n");
}

static void test_namespaces(void **state)
{
	char mine[4][64] = {{0}};
	static const char *const names[] = {"mnt", "pid", "uts", "ipc"};

	(void)state;
	enter_run(
		0,
		"echo $$; cat /proc/sys/kernel/hostname; for n in mnt pid uts ipc net; do readlink "
		"/proc/self/ns/$n; done; perl -e 'print getppid, \"\\n\"'",
		0);
	assert_int_equal(strncmp(enter_output(), "2\nguest\n", 8), 0);
	for (size_t i = 0; i < VU_ARRAY_SIZE(names); i++) {
		char link[64];

		snprintf(link, sizeof(link), "/proc/self/ns/%s", names[i]);
		assert_true(readlink(link, mine[i], sizeof(mine[i]) - 1) > 0);
		snprintf(link, sizeof(link), "%s:[", names[i]);
		assert_non_null(strstr(enter_output(), link));
		assert_null(strstr(enter_output(), mine[i]));
	}
	assert_true(readlink("/proc/self/ns/net", mine[0], sizeof(mine[0]) - 1) > 0);
	assert_non_null(strstr(enter_output(), mine[0]));
}

/* The first process has 0, 1, 2, the socket and the signalfd, and nothing else of its caller's. */
static int play_holds(void *arg)
{
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;
	int n = 0, others = 0;
	char path[64], to[64];

	ENTER_CHECK(dup2(1, 77) == 77);
	ENTER_CHECK(!enter_shell(e, *(unsigned *)arg, NULL, "kill -STOP $$"));
	ENTER_CHECK(!vu_enter_go(e) && enter_next_is(e, VU_ENTERED_STOPPED, SIGSTOP));
	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", vu_entered_pid(e), fd);
		ssize_t len = readlink(path, to, sizeof(to) - 1);

		if (len <= 0)
			continue;
		to[len] = 0;
		n++;
		others +=
			fd > 2 && strncmp(to, "socket:", 7) && strcmp(to, "anon_inode:[signalfd]");
	}
	ENTER_CHECK(n == 5 && !others);
	vu_entered_resume(e);
	ENTER_CHECK(enter_wait(e, &end));
	vu_entered_free(e);
	return 0;
}

static void test_holds(void **state)
{
	(void)state;
	enter_play_ways(play_holds);
}

/* The calls of the command, and only its, come to the listener, once it was told to go on. */
static int play_listener(void *arg)
{
	union {
		struct seccomp_notif n;
		char room[256];
	} req = {0};
	struct seccomp_notif_resp resp = {0};
	struct vu_entered *e = vu_entered_new();
	struct vu_filter *f = NULL;
	struct vu_enter_end end;

	ENTER_CHECK(!vu_filter_new(0, 0, &f));
	ENTER_CHECK(!enter_shell(e, *(unsigned *)arg, f, "touch /tmp/x; echo $?"));
	struct pollfd p = {.fd = vu_entered_listener(e), .events = POLLIN};

	ENTER_CHECK(p.fd >= 0 && fcntl(p.fd, F_GETFD) == FD_CLOEXEC);
	ENTER_CHECK(fcntl(vu_entered_pidfd(e), F_GETFD) == FD_CLOEXEC);
	ENTER_CHECK(fcntl(vu_entered_events(e), F_GETFD) == FD_CLOEXEC);
	ENTER_CHECK(poll(&p, 1, 200) == 0);
	ENTER_CHECK(!vu_enter_go(e) && poll(&p, 1, 10000) == 1);
	ENTER_CHECK(!ioctl(p.fd, SECCOMP_IOCTL_NOTIF_RECV, &req));
	ENTER_CHECK(req.n.data.nr == SYS_openat);
	resp.id = req.n.id;
	resp.error = -EXDEV;
	ENTER_CHECK(!ioctl(p.fd, SECCOMP_IOCTL_NOTIF_SEND, &resp));
	/* touch(1) goes on with utimensat */
	memset(&req, 0, sizeof(req));
	ENTER_CHECK(poll(&p, 1, 10000) == 1 && !ioctl(p.fd, SECCOMP_IOCTL_NOTIF_RECV, &req));
	resp.id = req.n.id;
	ENTER_CHECK(!ioctl(p.fd, SECCOMP_IOCTL_NOTIF_SEND, &resp));
	ENTER_CHECK(enter_wait(e, &end) && end.exit_code == 0);
	vu_entered_free(e);
	vu_filter_free(f);
	return 0;
}

static void test_listener(void **state)
{
	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(enter_ways); i++) {
		enter_play_way(play_listener, enter_ways[i]);
		assert_non_null(strstr(enter_output(), "Invalid cross-device link\n1\n"));
	}
}

/* A launcher has everything of the caller's, and the filter. */
static int play_launcher(void *arg)
{
	char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", arg, NULL};
	char *environment[] = {(char *)(uintptr_t) "PATH=/usr/bin:/bin", (char *)(uintptr_t) "A=b",
			       NULL};
	struct vu_enter how = {-1, 0, NULL, argv, environment, NULL};
	struct vu_entered *e = vu_entered_new();
	struct vu_filter *f = NULL;
	struct vu_enter_end end;

	ENTER_CHECK(!vu_filter_new(0, 0, &f));
	how.filter = f;
	ENTER_CHECK(dup2(1, 77) == 77 && !chdir(enter_guest));
	ENTER_CHECK(!vu_enter(e, &how) && vu_entered_listener(e) >= 0);
	ENTER_CHECK(!vu_enter_go(e) && enter_wait(e, &end) && end.exit_code == 9);
	vu_entered_free(e);
	vu_filter_free(f);
	return 0;
}

static void test_launcher(void **state)
{
	char want[SCRATCH_PATH_MAX + 64], ns[64] = "";
	static char script[] =
		"echo $A; pwd; perl -e 'open F, \">>&=\", 77 and print F \"kept\\n\"'; readlink /proc/self/ns/pid; exit 9";

	(void)state;
	enter_play(play_launcher, script);
	assert_true(readlink("/proc/self/ns/pid", ns, sizeof(ns) - 1) > 0);
	snprintf(want, sizeof(want), "b\n%s\nkept\n%s\n", enter_guest, ns);
	enter_assert_output(want);
}

/* With 0, 1 and 2 closed nothing of the host gets into their places. */
static int play_closed(void *arg)
{
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;

	close(0), close(1), close(2);
	ENTER_CHECK(!enter_shell(
		e, *(unsigned *)arg, NULL,
		"for i in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/self/fd/$i ] || exit 2$i; done"));
	ENTER_CHECK(!vu_enter_go(e) && enter_wait(e, &end) && end.exit_code == 0);
	vu_entered_free(e);
	return 0;
}

static void test_closed(void **state)
{
	(void)state;
	enter_play_way(play_closed, 0);
}

static int count_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* What fails is told, and leaves nothing behind. */
static int play_errors(void *arg)
{
	static char *argv[] = {(char *)(uintptr_t) "sh", NULL};
	struct vu_enter how = {0, 0, "guest", argv, environ, NULL};
	struct vu_entered *e = vu_entered_new();
	int before = count_open();

	(void)arg;
	ENTER_CHECK(vu_enter(e, &how) < 0); /* standard input is no directory */
	ENTER_CHECK(!strncmp(vu_entered_doing(e), "cannot ", 7));
	how.flags = VU_ENTER_CHROOT_ONLY;
	ENTER_CHECK(vu_enter(e, &how) == -ENOTDIR);
	ENTER_CHECK(!strcmp(vu_entered_doing(e), "cannot change the root directory"));
	vu_stop_request(SIGTERM);
	ENTER_CHECK(enter_shell(e, 0, NULL, "exit 0") == -ECANCELED);
	ENTER_CHECK(count_open() == before);
	ENTER_CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	vu_entered_free(e);
	return 0;
}

static void test_errors(void **state)
{
	(void)state;
	enter_play(play_errors, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		enter_unit_test(test_programs), enter_unit_test(test_environment),
		enter_unit_test(test_login),	enter_unit_test(test_namespaces),
		enter_unit_test(test_holds),	enter_unit_test(test_listener),
		enter_unit_test(test_launcher), enter_unit_test(test_closed),
		enter_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, enter_set_up, enter_tear_down);
}
