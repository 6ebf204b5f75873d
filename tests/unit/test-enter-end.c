/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a command in a guest ends, is stopped, and what is left when others are killed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/fork.h"
#include "enter-guest.h"

static void test_exit_codes(void **state)
{
	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(enter_ways); i++) {
		enter_run(enter_ways[i], "exit 0", 0);
		enter_run(enter_ways[i], "exit 7", 7);
		enter_run(enter_ways[i], "exit 255", 255);
		enter_run(enter_ways[i], "kill -TERM $$", 128 + SIGTERM);
		enter_run(enter_ways[i], "kill -KILL $$", 128 + SIGKILL);
		enter_run(enter_ways[i], "ulimit -c unlimited; kill -SEGV $$", 128 + SIGSEGV);
	}
}

/* How the first process itself ends, whoever is its parent. */
static int play_like(void *arg)
{
	unsigned flags = *(unsigned *)arg;
	struct vu_entered *e = vu_entered_new();
	siginfo_t i;

	ENTER_CHECK(!enter_shell(e, flags, NULL, "kill -TERM $$") && !vu_enter_go(e));
	ENTER_CHECK(!waitid(P_PIDFD, (id_t)vu_entered_pidfd(e), &i, WEXITED));
	ENTER_CHECK(i.si_pid == vu_entered_pid(e));
	if (flags & VU_ENTER_CHROOT_ONLY)
		ENTER_CHECK(i.si_code == CLD_KILLED && i.si_status == SIGTERM);
	else
		ENTER_CHECK(i.si_code == CLD_EXITED && i.si_status == 128 + SIGTERM);
	vu_entered_free(e);
	return 0;
}

static void test_ends_like_it(void **state)
{
	(void)state;
	enter_play_ways(play_like);
}

/* Who has no parent any more gets the first process for one, which reaps it. */
static void test_orphans(void **state)
{
	static const char script[] =
		"perl -e 'pipe R, W; if (!fork) { my $m = $$; exit if fork; select undef, undef, undef, .01 while "
		"getppid == $m; print W getppid == $ENV{FIRST} ? \"adopted\\n\" : \"not\\n\"; exit } close W; "
		"wait; print <R>; for (1..1000) { my $z; opendir D, \"/proc\"; for (readdir D) { open F, \"<\", "
		"\"/proc/$_/stat\" or next; $z = 1 if <F> =~ /\\) Z (\\d+)/ && $1 == $ENV{FIRST} } last unless "
		"$z; print \"zombie\\n\" if $_ == 1000; select undef, undef, undef, .01 }'";
	char command[1024];

	(void)state;
	snprintf(command, sizeof(command), "export FIRST=$PPID; %s", script);
	enter_run(0, command, 0);
	enter_assert_output("adopted\n");
	enter_host("mount -t proc none %s/proc", enter_guest);
	enter_run(VU_ENTER_CHROOT_ONLY, command, 0);
	enter_host("umount %s/proc", enter_guest);
	enter_assert_output("adopted\n");
}

static int play_signals(void *arg)
{
	struct vu_entered *e = vu_entered_new();
	struct pollfd out = {.events = POLLIN};
	struct vu_enter_end end;
	int ends[2];
	char word[8];

	ENTER_CHECK(!pipe2(ends, O_CLOEXEC) && dup2(ends[1], 1) == 1 && !close(ends[1]));
	out.fd = ends[0];
	ENTER_CHECK(
		!enter_shell(e, *(unsigned *)arg, NULL,
			     "trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready; "
			     "while :; do sleep .05; done"));
	ENTER_CHECK(!vu_enter_go(e));
	ENTER_CHECK(poll(&out, 1, 10000) == 1 && read(out.fd, word, 8) == 6);
	ENTER_CHECK(!vu_entered_signal(e, SIGUSR1));
	ENTER_CHECK(poll(&out, 1, 10000) == 1 && read(out.fd, word, 8) == 5);
	ENTER_CHECK(!memcmp(word, "usr1\n", 5));
	ENTER_CHECK(!vu_entered_signal(e, SIGTERM));
	ENTER_CHECK(enter_wait(e, &end) && end.exit_code == 3 && !end.signal);
	ENTER_CHECK(vu_entered_signal(e, SIGTERM) == -ESRCH);
	ENTER_CHECK(read(out.fd, word, 8) == 5 && !memcmp(word, "term\n", 5));
	vu_entered_free(e);
	return 0;
}

static void test_signals(void **state)
{
	(void)state;
	enter_play_ways(play_signals);
}

static int play_stop(void *arg)
{
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;
	int signo;

	/* in the caller's group: a stop by the terminal is not told */
	ENTER_CHECK(
		!enter_shell(e, *(unsigned *)arg, NULL,
			     "(sleep .3; kill -CONT $$) & kill -TSTP $$; kill -STOP $$; exit 4"));
	ENTER_CHECK(!vu_entered_own_group(e));
	ENTER_CHECK(vu_entered_next(e, &signo) == 0);
	ENTER_CHECK(!vu_enter_go(e));
	ENTER_CHECK(enter_next_is(e, VU_ENTERED_STOPPED, SIGSTOP));
	ENTER_CHECK(!vu_entered_end(e, &end));
	vu_entered_resume(e);
	ENTER_CHECK(enter_next_is(e, VU_ENTERED_OVER, 0));
	ENTER_CHECK(enter_wait(e, &end) && end.exit_code == 4);
	vu_entered_free(e);
	return 0;
}

static void test_stop(void **state)
{
	(void)state;
	enter_play_ways(play_stop);
}

/*
 * The first process is killed: the pidfd tells when nothing of its PID namespace is left. Without one, the
 * command is killed a moment later.
 */
static int play_killed(void *arg)
{
	static const char script[] =
		"trap '' TERM INT HUP; (trap '' TERM; sleep 100) & sleep 100 & echo ready; "
		"sleep 100";
	static const char alone[] = "echo ready; exec sleep 100";
	unsigned flags = *(unsigned *)arg;
	struct vu_entered *e = vu_entered_new();
	struct pollfd out = {.events = POLLIN};
	struct vu_enter_end end;
	int ends[2];
	char word[8];

	ENTER_CHECK(!pipe2(ends, O_CLOEXEC) && dup2(ends[1], 1) == 1 && !close(ends[1]));
	out.fd = ends[0];
	ENTER_CHECK(!enter_shell(e, flags, NULL, flags ? alone : script));
	ENTER_CHECK(!vu_enter_go(e) && read(out.fd, word, 8) == 6);
	ENTER_CHECK(dup2(2, 1) == 1); /* nobody of the host has the pipe for writing now */
	ENTER_CHECK(!syscall(SYS_pidfd_send_signal, vu_entered_pidfd(e), SIGKILL, NULL, 0));
	ENTER_CHECK(enter_wait(e, &end) && end.signal == SIGKILL && end.exit_code == 128 + SIGKILL);
	ENTER_CHECK(poll(&out, 1, flags ? 10000 : 0) == 1 && read(out.fd, word, 8) == 0);
	vu_entered_free(e);
	return 0;
}

static void test_killed(void **state)
{
	(void)state;
	enter_play_ways(play_killed);
}

/* Not told to go on, nothing is executed; and with the caller gone, all ends. */
static int play_forsaken(void *arg)
{
	struct vu_entered *e = vu_entered_new();
	int ends[2];
	char c;

	ENTER_CHECK(!pipe2(ends, O_CLOEXEC));
	pid_t pid = fork();

	if (!pid) { /* holds the other end until it and what it made have ended */
		ENTER_CHECK(dup2(ends[1], 1) == 1);
		_exit(enter_shell(e, *(unsigned *)arg, NULL, "echo executed") ? 1 : 0);
	}
	close(ends[1]);
	ENTER_CHECK(read(ends[0], &c, 1) == 0);
	vu_entered_free(e);
	return 0;
}

static void test_forsaken(void **state)
{
	(void)state;
	enter_play_ways(play_forsaken);
}

/* Another process with the same table of descriptors goes on where the one that has entered was killed. */
static int play_successor(void *arg)
{
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;
	int status;

	(void)arg;
	ENTER_CHECK(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	pid_t pid = vu_fork(CLONE_FILES, NULL);

	if (!pid) {
		if (!enter_shell(e, 0, NULL, "kill -STOP $$; exit 6"))
			raise(SIGKILL);
		_exit(1);
	}
	ENTER_CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	ENTER_CHECK(!vu_enter_go(e) && enter_next_is(e, VU_ENTERED_STOPPED, SIGSTOP));
	vu_entered_resume(e);
	ENTER_CHECK(enter_wait(e, &end) && end.exit_code == 6);
	ENTER_CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD); /* reaped */
	vu_entered_free(e);
	return 0;
}

static void test_successor(void **state)
{
	(void)state;
	enter_play(play_successor, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		enter_unit_test(test_exit_codes), enter_unit_test(test_ends_like_it),
		enter_unit_test(test_orphans),	  enter_unit_test(test_signals),
		enter_unit_test(test_stop),	  enter_unit_test(test_killed),
		enter_unit_test(test_forsaken),	  enter_unit_test(test_successor),
	};

	return cmocka_run_group_tests(tests, enter_set_up, enter_tear_down);
}
