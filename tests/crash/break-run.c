/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "break-run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "break-files.h"
#include "fail.h"

#define WORDS 32
#define WAIT_MS 30000

static void execute(const struct break_run *r, const char *const *words)
{
	char *argv[WORDS];
	int n = 0;

	for (; n < r->n_vunify; n++)
		argv[n] = r->vunify[n];
	for (; *words && n < WORDS - 1; words++)
		argv[n++] = (char *)(uintptr_t)*words;
	argv[n] = NULL;
	int fd = open(r->said, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	dup2(fd, 2);
	execv(argv[0], argv);
	_exit(126);
}

static int code_of(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			fail("waitpid: %m");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int vunify_do(const struct break_run *r, const char *const *words)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork: %m");
	if (!pid) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, 0);
		dup2(null, 1);
		alarm(120);
		execute(r, words);
	}
	return code_of(pid);
}

void run_start(struct break_run *r)
{
	static const char *const words[] = {"--quiet", "run", "g1", "--", "/bin/break-guest", NULL};
	int in[2], out[2];
	char line[64];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		fail("pipe: %m");
	r->front = fork();
	if (r->front < 0)
		fail("fork: %m");
	if (!r->front) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execute(r, words);
	}
	close(in[0]);
	close(out[1]);
	r->to = in[1];
	r->from = out[0];
	if (!run_hear(r, WAIT_MS, line) || strcmp(line, "ready"))
		fail("vunify run does not start");
}

int run_end(struct break_run *r)
{
	int code;

	close(r->to);
	code = code_of(r->front);
	close(r->from);
	r->front = 0;
	return code;
}

/* The first one: of the front it is the guardian. */
static pid_t child_of(pid_t pid)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return (pid_t)atoi(text);
}

pid_t run_guardian(const struct break_run *r)
{
	return child_of(r->front);
}

pid_t run_worker(const struct break_run *r)
{
	pid_t guardian = run_guardian(r), worker = 0;

	for (int i = 0; guardian && !worker && i < WAIT_MS; i++) {
		worker = child_of(guardian);
		if (!worker)
			usleep(1000);
	}
	return worker;
}

bool run_is_ready(pid_t worker)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", worker, worker);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	if (fd >= 0)
		close(fd);
	return *text && atoi(text) == SYS_poll;
}

void run_kill(const struct break_run *r)
{
	pid_t guardian = run_guardian(r), worker = run_worker(r);

	/* who sees another one die tells the command to end: nobody is to see it */
	kill(r->front, SIGSTOP);
	kill(guardian, SIGSTOP);
	kill(r->front, SIGKILL);
	kill(guardian, SIGKILL);
	if (worker)
		kill(worker, SIGKILL);
}

void run_reap(struct break_run *r)
{
	struct pollfd p = {.fd = r->from, .events = POLLIN};
	char text[64];

	close(r->to);
	while (poll(&p, 1, WAIT_MS) > 0 && read(r->from, text, sizeof(text)) > 0)
		;
	code_of(r->front);
	close(r->from);
	r->front = 0;
}

void run_order(struct break_run *r, enum break_op op, unsigned number)
{
	char line[128];

	snprintf(line, sizeof(line), "%d /" BREAK_DIR "/%s-%u\n", op, op_name(op), number);
	run_say(r, line);
}

void run_say(struct break_run *r, const char *what)
{
	if (write(r->to, what, strlen(what)) != (ssize_t)strlen(what))
		fail("the guest: %m");
}

bool run_hear(struct break_run *r, int timeout_ms, char line[64])
{
	struct pollfd p = {.fd = r->from, .events = POLLIN};
	size_t n = 0;

	while (poll(&p, 1, n ? WAIT_MS : timeout_ms) == 1 && n < 63 &&
	       read(r->from, line + n, 1) == 1)
		if (line[n++] == '\n') {
			line[n - 1] = 0;
			return true;
		}
	return false;
}
