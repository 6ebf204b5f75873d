/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In a guest, under vunify run: makes calls that break links, as it is told on stdin, each in a process of its
 * own. Static, for there is nothing else in the guest. See break-calls.c.
 *
 * "OP DIR": makes the call in that directory, and answers "0" or its errno once the process has ended. While it
 * runs: "kill" (answers "killed"), "trace" (it is traced and stopped; answers "traced"), "detach".
 * "over": the call has ended before that was done.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "break-ops.h"

static int append_to(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | flags | O_CLOEXEC);

	return fd < 0 || write(fd, BREAK_MORE, strlen(BREAK_MORE)) < 0 ? errno : 0;
}

static int make(enum break_op op)
{
	int fd, r = -1;

	switch (op) {
	case BREAK_APPEND:
	case BREAK_TWINS:
	case BREAK_LAST:
		return append_to("f", O_APPEND);
	case BREAK_CUT:
		return append_to("f", O_TRUNC);
	case BREAK_FCHMOD:
		fd = open("f", O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -1 : fchmod(fd, 0600);
		break;
	case BREAK_UNLINK:
		r = unlink("f");
		break;
	case BREAK_OVER:
		r = rename("n", "f");
		break;
	case BREAK_EXCHANGE:
		r = renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_EXCHANGE);
		break;
	case BREAK_LINK:
		r = link("f", "l");
		break;
	case BREAK_NONE:
		return append_to("n", 0);
	case BREAK_N:
		break;
	}
	return r ? errno : 0;
}

/* Asked something while the call is on its way. */
static void heed(pid_t child, const char *what, bool *killed)
{
	if (!strncmp(what, "kill", 4)) {
		kill(child, SIGKILL);
		*killed = true;
	} else if (!strncmp(what, "trace", 5)) {
		if (!ptrace(PTRACE_SEIZE, child, NULL, NULL) &&
		    !ptrace(PTRACE_INTERRUPT, child, NULL, NULL))
			puts("traced");
		else if (errno == ESRCH ||
			 errno == EPERM) /* it has ended, and is waited for next */
			puts("over");
		else
			_exit(4);
	} else if (!strncmp(what, "detach", 6)) {
		/* it stops when its call returns, which may be later */
		waitpid(child, NULL, WUNTRACED | __WALL);
		ptrace(PTRACE_DETACH, child, NULL, NULL);
	}
}

static void order(enum break_op op, const char *dir)
{
	bool killed = false;
	int status = 0;
	pid_t child = fork();

	if (!child) {
		alarm(60);
		_exit(chdir(dir) ? errno : make(op));
	}
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);

	for (;;) {
		struct pollfd p[] = {{.fd = 0, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
		char what[16] = "";

		if (poll(p, 2, -1) < 0)
			continue;
		/* traced, it is waited for by heed */
		if (p[1].revents)
			break;
		if (p[0].revents & POLLIN && read(0, what, sizeof(what) - 1) > 0)
			heed(child, what, &killed);
		else if (p[0].revents)
			_exit(5);
	}
	waitpid(child, &status, 0);
	close(pidfd);
	if (killed)
		puts("killed");
	else
		printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int main(void)
{
	char line[256], *dir;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	/* byte by byte: what is said meanwhile is for order() */
	for (size_t n = 0; read(0, line + n, 1) == 1;) {
		if (line[n] != '\n') {
			n += n < sizeof(line) - 2;
			continue;
		}
		line[n] = 0;
		n = 0;
		dir = strchr(line, ' ');
		if (dir)
			order((enum break_op)atoi(line), dir + 1);
		else
			puts("over"); /* what was to be done to a call has come too late */
	}
	return 0;
}
