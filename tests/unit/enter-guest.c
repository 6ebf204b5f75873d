/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "enter-guest.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

char enter_guest[SCRATCH_MAX];
static char output[65536];

__attribute__((format(printf, 1, 0))) static int host_status(const char *format, va_list ap)
{
	_cleanup_free_ char *command = NULL;

	if (vasprintf(&command, format, ap) < 0)
		return -1;
	return system(command); /* NOLINT(cert-env33-c) */
}

void enter_host(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	int status = host_status(format, ap);

	va_end(ap);
	if (status)
		fail_msg("on the host: %s: status %d", format, status);
}

__attribute__((format(printf, 1, 2))) static int host(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	int status = host_status(format, ap);

	va_end(ap);
	return status;
}

/* Follows no link, and goes into nothing that something is still mounted at. */
static int remove_places(void)
{
	return host(
		"cd %s && { [ -h tmp ] || [ ! -f tmp/immutable ] || chattr -i tmp/immutable; } && "
		"rm -rf --one-file-system --preserve-root=all -- proc sys dev run tmp mnt",
		enter_guest);
}

/* With /dev/null in the tree itself, for commands that nothing is mounted for. */
static int make_places(void)
{
	return host("cd %s && mkdir -p proc sys dev run tmp mnt && mknod -m 666 dev/null c 1 3",
		    enter_guest);
}

/*
 * Commands run as root, and tests are there to fail: whatever is mounted or named is so in namespaces of
 * the test's own.
 */
int enter_set_up(void **state)
{
	static const char programs[] =
		"sh cat ls id stat touch sleep env readlink mknod tty chattr "
		"perl kill rm bash";

	(void)state;
	if (geteuid())
		return 0;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) || unshare(CLONE_NEWNS | CLONE_NEWUTS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    !scratch_dir(enter_guest, "test-enter"))
		return -1;
	return host("mkdir %s.host && cd %s && mkdir -p root etc usr/bin usr/sbin usr/lib usr/lib64 "
		    "usr/local/bin && ln -s usr/bin usr/sbin usr/lib usr/lib64 .",
		    enter_guest, enter_guest) ||
	       make_places() ||
	       host("set -e; cd %s; for p in %s; do f=$(readlink -f \"$(PATH=/usr/bin:/bin command "
		    "-v $p)\"); [ -f \"$f\" ] || f=/bin/$p; cp \"$f\" usr/bin/$p; for l in $(ldd "
		    "\"$f\" | grep -o '/[^ ]*'); do mkdir -p .${l%%/*}; cp -n $l .$l; done; done",
		    enter_guest, programs);
}

/* What a test that failed has left running, and what that leaves. */
static void end_children(void)
{
	pid_t pid;
	FILE *f;

	do {
		f = fopen("/proc/thread-self/children", "re");
		while (f && fscanf(f, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		if (f)
			fclose(f);
	} while (waitpid(-1, NULL, 0) > 0);
}

int enter_reset(void **state)
{
	(void)state;
	if (!*enter_guest)
		return 0;
	end_children();
	return host("grep -o ' %s[^ ]* ' /proc/self/mountinfo | tac | while read -r m; do umount -l \"$m\"; "
		    "done",
		    enter_guest) ||
	       remove_places() || make_places();
}

int enter_tear_down(void **state)
{
	int r = enter_reset(state);

	return r || !*enter_guest
		       ? r
		       : host("rm -rf --one-file-system --preserve-root=all -- %s %s.host %s.out %s.before",
			      enter_guest, enter_guest, enter_guest, enter_guest);
}

const char *enter_output(void)
{
	return output;
}

void enter_assert_output(const char *want)
{
	assert_string_equal(output, want);
}

static void read_output(const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, output, sizeof(output) - 1);

	output[n < 0 ? 0 : n] = 0;
}

static void take_place(const char *path)
{
	int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (out < 0 || in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(255);
	close(in);
	close(out);
}

void enter_play(int (*fn)(void *arg), void *arg)
{
	char path[SCRATCH_PATH_MAX];
	int ends[2], line = -1, status;

	if (geteuid())
		skip();
	snprintf(path, sizeof(path), "%s.out", enter_guest);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		take_place(path);
		line = fn(arg);
		_exit(write(ends[1], &line, sizeof(line)) != (ssize_t)sizeof(line));
	}
	close(ends[1]);
	ssize_t n = read(ends[0], &line, sizeof(line));

	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	read_output(path);
	if (n != (ssize_t)sizeof(line) || line || status)
		fail_msg("line %d, status %d, output:\n%s", line, status, output);
}

const unsigned enter_ways[2] = {0, VU_ENTER_CHROOT_ONLY};

void enter_play_way(int (*fn)(void *arg), unsigned flags)
{
	enter_play(fn, &flags);
}

void enter_play_ways(int (*fn)(void *arg))
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(enter_ways); i++)
		enter_play_way(fn, enter_ways[i]);
}

int enter_shell(struct vu_entered *e, unsigned flags, struct vu_filter *f, const char *command)
{
	_cleanup_fd_ int root = open(enter_guest, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c",
			(char *)(uintptr_t)command, NULL};
	char *environment[] = {(char *)(uintptr_t) "LC_ALL=C", NULL};
	struct vu_enter how = {root, flags, "guest", argv, environment, f};

	return vu_enter(e, &how);
}

bool enter_wait(struct vu_entered *e, struct vu_enter_end *ret)
{
	struct pollfd p = {.fd = vu_entered_pidfd(e), .events = POLLIN};

	return poll(&p, 1, 10000) == 1 && vu_entered_end(e, ret);
}

bool enter_next_is(struct vu_entered *e, int what, int signal)
{
	struct pollfd p = {.fd = vu_entered_events(e), .events = POLLIN};
	int signo = 0;

	return poll(&p, 1, 10000) == 1 && vu_entered_next(e, &signo) == what && signo == signal;
}

struct run {
	unsigned flags;
	const char *command;
	int exit_code;
};

static int play_run(void *arg)
{
	const struct run *r = arg;
	struct vu_entered *e = vu_entered_new();
	struct vu_enter_end end;
	int result = enter_shell(e, r->flags, NULL, r->command);

	if (result)
		printf("%s: %s\n", vu_entered_doing(e), strerror(-result)), fflush(stdout);
	ENTER_CHECK(!result);
	ENTER_CHECK(!vu_entered_end(e, &end));
	ENTER_CHECK(!vu_enter_go(e));
	ENTER_CHECK(enter_wait(e, &end));
	if (end.exit_code != r->exit_code)
		printf("exit code %d\n", end.exit_code), fflush(stdout);
	ENTER_CHECK(end.exit_code == r->exit_code);
	vu_entered_free(e);
	return 0;
}

void enter_run(unsigned flags, const char *command, int exit_code)
{
	struct run r = {flags, command, exit_code};

	enter_play(play_run, &r);
}
