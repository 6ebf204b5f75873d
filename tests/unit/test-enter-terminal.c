/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command in a guest on a terminal: a process plays the shell, whose job is the supervisor; the test types.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "enter-guest.h"

struct scene {
	unsigned flags;
	const char *command;
	bool pipe; /* standard output goes to another process of the job */
};

/* What the shell tells of its job. */
struct event {
	int status;
	bool has_terminal; /* the job's process group has it */
};

static int master = -EBADF, shell_end = -EBADF; /* of the test */
static pid_t shell;
static char seen[16384];
static size_t n_seen;

/* ---- the job ---- */

static volatile sig_atomic_t continued;

static void on_continue(int signo)
{
	(void)signo;
	continued = 1;
}

/* What a supervisor does about the terminal. Returns the exit code. SIGCONT only comes while it sleeps. */
static int attend(struct vu_entered *e)
{
	struct vu_enter_end end;
	sigset_t none;
	int signo, r;

	sigemptyset(&none);

	while (!vu_entered_end(e, &end)) {
		struct pollfd p[] = {{.fd = vu_entered_pidfd(e), .events = POLLIN},
				     {.fd = vu_entered_events(e), .events = POLLIN}};

		(void)ppoll(p, 2, &(struct timespec){10, 0}, &none);
		if (continued) {
			continued = 0;
			vu_entered_resume(e);
		}
		while ((r = vu_entered_next(e, &signo)) == VU_ENTERED_STOPPED) {
			vu_entered_take_terminal(e);
			kill(0, SIGTSTP);
		}
		if (r == VU_ENTERED_OVER)
			poll(p, 1, 10000);
	}
	vu_entered_take_terminal(e);
	return end.exit_code;
}

static int job(const struct scene *s)
{
	struct sigaction a = {.sa_handler = on_continue};
	struct vu_entered *e = vu_entered_new();
	sigset_t set;
	int ends[2];

	sigemptyset(&set);
	sigaddset(&set, SIGCONT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGCONT, &a, NULL);
	if (s->pipe && (pipe2(ends, O_CLOEXEC) || dup2(ends[1], 1) < 0))
		return 240;
	if (enter_shell(e, s->flags, NULL, s->command))
		return 241;
	if (vu_entered_own_group(e) == s->pipe)
		return 242;
	if (s->pipe)
		signal(SIGINT, SIG_IGN);
	return vu_enter_go(e) ? 243 : attend(e);
}

/* ---- the shell ---- */

static _Noreturn void be_shell(int slave, int control, const struct scene *s)
{
	struct event ev;
	char order;

	signal(SIGTTOU, SIG_IGN);
	setsid();
	if (ioctl(slave, TIOCSCTTY, 0) || dup2(slave, 0) || dup2(slave, 1) != 1 ||
	    dup2(slave, 2) != 2)
		_exit(1);
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, 0);
		tcsetpgrp(0, getpid());
		signal(SIGTTOU, SIG_DFL);
		_exit(job(s));
	}
	setpgid(pid, pid);
	for (;;) {
		if (waitpid(pid, &ev.status, WUNTRACED) != pid)
			_exit(1);
		ev.has_terminal = tcgetpgrp(0) == pid;
		tcsetpgrp(0, getpgrp());
		if (write(control, &ev, sizeof(ev)) != (ssize_t)sizeof(ev) ||
		    !WIFSTOPPED(ev.status) || read(control, &order, 1) != 1)
			_exit(0);
		if (order == 'f')
			tcsetpgrp(0, pid);
		kill(-pid, SIGCONT);
	}
}

/* ---- the test ---- */

static void begin(const struct scene *s)
{
	int ends[2];

	vu_close_p(&master);
	vu_close_p(&shell_end);
	n_seen = 0;
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(master >= 0);
	assert_int_equal(grantpt(master) || unlockpt(master), 0);
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_true(slave >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	shell = fork();
	assert_true(shell >= 0);
	if (!shell)
		be_shell(slave, ends[1], s);
	close(slave);
	close(ends[1]);
	shell_end = ends[0];
}

/* Waits for a text on the terminal, after what was waited for before. */
static void expect(const char *text)
{
	for (;;) {
		struct pollfd p = {.fd = master, .events = POLLIN};
		char *at;

		seen[n_seen] = 0;
		at = strstr(seen, text);
		if (at) {
			n_seen = strlen(at + strlen(text));
			memmove(seen, at + strlen(text), n_seen + 1);
			return;
		}
		ssize_t n = poll(&p, 1, 10000) == 1
				    ? read(master, seen + n_seen, sizeof(seen) - 1 - n_seen)
				    : -1;

		if (n <= 0)
			fail_msg("no '%s' but '%s'", text, seen);
		n_seen += (size_t)n;
	}
}

/* Reads what else has been printed. Returns whether the text is in it. */
static bool follows(const char *text)
{
	struct pollfd p = {.fd = master, .events = POLLIN};
	ssize_t n = 1;

	while (n > 0 && poll(&p, 1, 0) == 1) {
		n = read(master, seen + n_seen, sizeof(seen) - 1 - n_seen);
		n_seen += n > 0 ? (size_t)n : 0;
	}
	seen[n_seen] = 0;
	return strstr(seen, text);
}

static void type(const char *text)
{
	assert_int_equal(write(master, text, strlen(text)), strlen(text));
}

/* What the shell sees next of its job. */
static int next(void)
{
	struct pollfd p = {.fd = shell_end, .events = POLLIN};
	struct event ev;

	if (poll(&p, 1, 10000) != 1)
		fail_msg("the shell sees nothing of its job; on the terminal: '%s'", seen);
	assert_int_equal(read(shell_end, &ev, sizeof(ev)), sizeof(ev));
	assert_true(ev.has_terminal);
	return ev.status;
}

static void order(char c)
{
	assert_int_equal(write(shell_end, &c, 1), 1);
}

static void finish(int exit_code)
{
	int status = next(), shell_status;

	if (!WIFEXITED(status) || WEXITSTATUS(status) != exit_code)
		fail_msg("status %#x, not exit code %d", status, exit_code);
	assert_int_equal(waitpid(shell, &shell_status, 0), shell);
	assert_int_equal(shell_status, 0);
	shell = 0;
}

/* Also after a test that has failed: the terminal hangs up, and that ends them. */
static int hang_up(void **state)
{
	vu_close_p(&master);
	vu_close_p(&shell_end);
	master = shell_end = -EBADF;
	if (shell > 0) {
		kill(shell, SIGKILL);
		waitpid(shell, NULL, 0);
	}
	return enter_reset(state);
}

static void test_interrupt(void **state)
{
	struct scene s = {
		0,
		"trap 'echo got int; exit 3' INT; trap 'echo winch' WINCH; echo ready; while :; do "
		"sleep .05; done",
		false};
	struct winsize size = {.ws_row = 33, .ws_col = 44};

	(void)state;
	if (geteuid())
		skip();
	for (s.flags = 0; s.flags <= VU_ENTER_CHROOT_ONLY; s.flags++) {
		begin(&s);
		expect("ready\r\n");
		assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
		expect("winch\r\n");
		type("\003");
		expect("got int\r\n");
		finish(3);
	}
}

/* ^Z; bg: it wants to read, and stops again; fg: it reads. */
static void test_suspend(void **state)
{
	struct scene s = {0, "echo ready; read -r a; echo \"got $a\"; read -r b; exit $b", false};

	(void)state;
	if (geteuid())
		skip();
	for (s.flags = 0; s.flags <= VU_ENTER_CHROOT_ONLY; s.flags++) {
		begin(&s);
		expect("ready\r\n");
		type("\032");
		assert_true(WIFSTOPPED(next()));
		order('b');
		/* the terminal is the shell's meanwhile, and is not taken from it */
		struct pollfd p = {.fd = shell_end, .events = POLLIN};
		struct event ev;

		assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_equal(read(shell_end, &ev, sizeof(ev)), sizeof(ev));
		assert_true(WIFSTOPPED(ev.status));
		assert_false(ev.has_terminal);
		order('f');
		type("x y\n");
		expect("got x y\r\n");
		type("4\n");
		finish(4);
	}
}

/* A shell with job control in the guest: its own jobs get the terminal, it can suspend itself, and ends. */
static void test_interactive(void **state)
{
	struct scene s = {0, "exec bash --norc --noprofile -i", false};

	(void)state;
	if (geteuid())
		skip();
	for (s.flags = 0; s.flags <= VU_ENTER_CHROOT_ONLY; s.flags++) {
		begin(&s);
		type("PS1='$?> '\n");
		expect("0> ");
		type("sh -c 'echo a''b; read x; echo c''d $x'\n");
		expect("ab\r\n");
		type("\032");
		expect("148> ");
		type("jobs\n");
		expect("Stopped");
		type("fg\n");
		type("in\n");
		expect("cd in\r\n");
		type("sh -c 'echo e''f; exec sleep 100'\n");
		expect("ef\r\n");
		type("\003");
		expect("130> ");
		type("suspend\n");
		assert_true(WIFSTOPPED(next()));
		order('f');
		type("echo a''f\n");
		expect("af\r\n");
		type("exit 5\n");
		finish(5);
	}
}

static void test_terminal(void **state)
{
	struct scene s = {
		0,
		"tty; perl -e 'for (0x5412, 0x541c) { $c = \"x\"; print ioctl(STDIN, $_, $c) ? \"typed\" : "
		"$!+0, \"\\n\" } open T, \"<\", \"/dev/tty\" or die; print ioctl(T, 0x5412, $c) ? \"typed\" "
		": $!+0, \"\\n\"; print -t T, \"\\n\"'",
		false};

	(void)state;
	if (geteuid())
		skip();
	begin(&s);
	expect("/dev/console\r\n1\r\n1\r\n1\r\n1\r\n");
	finish(0);
}

/* In a pipeline it stays in the job's group: no other part of that loses the terminal. */
static void test_pipeline(void **state)
{
	struct scene s = {0,
			  "echo ready >&2; read -r a; trap 'echo INT >&2' INT; echo got >&2; "
			  "while :; do read -r a && exit $a; done",
			  true};

	(void)state;
	if (geteuid())
		skip();
	for (s.flags = 0; s.flags <= VU_ENTER_CHROOT_ONLY; s.flags++) {
		begin(&s);
		expect("ready\r\n");
		type("\032");
		assert_true(WIFSTOPPED(next()));
		order('f');
		type("x\n");
		expect("got\r\n");
		type("\003");
		expect("INT\r\n");
		poll(NULL, 0, 100); /* for a second one to come */
		type("6\n");
		finish(6);
		/* of its own, or of the first process's, there was no second one */
		assert_false(follows("INT"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_interrupt, hang_up),
		cmocka_unit_test_teardown(test_suspend, hang_up),
		cmocka_unit_test_teardown(test_interactive, hang_up),
		cmocka_unit_test_teardown(test_terminal, hang_up),
		cmocka_unit_test_teardown(test_pipeline, hang_up),
	};

	return cmocka_run_group_tests(tests, enter_set_up, enter_tear_down);
}
