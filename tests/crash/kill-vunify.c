/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kill-vunify.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill-guests.h"
#include "kill-run.h"

static pid_t child_of(pid_t pid)
{
	char path[64], text[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return (pid_t)atoi(text);
}

pid_t start(const char *verb)
{
	char *args[64];
	int n = 0;
	char g[GUESTS][300];

	for (; n < run.n_vunify && n < 40; n++)
		args[n] = run.vunify[n];
	args[n++] = (char *)(uintptr_t)verb;
	for (int i = 0; i < GUESTS; i++) {
		snprintf(g[i], sizeof(g[i]), "%s/guests/g%d", run.mnt, i + 1);
		args[n++] = g[i];
	}
	args[n] = NULL;
	pid_t pid = fork();

	if (pid)
		return pid;
	setpgid(0, 0);
	int fd = open("vunify-said", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	dup2(fd, 1);
	dup2(fd, 2);
	execv(args[0], args);
	_exit(127);
}

/* Its processes, once all are there. False when it has ended before. */
static bool find_all(struct vunify *v)
{
	for (int i = 0; i < 20000; i++) {
		siginfo_t info = {0};

		v->guardian = child_of(v->front);
		v->worker = v->guardian ? child_of(v->guardian) : 0;
		if (v->worker)
			return true;
		if (!waitid(P_PID, (id_t)v->front, &info, WEXITED | WNOHANG | WNOWAIT) &&
		    info.si_pid)
			return false;
		nap_us(50);
	}
	return false;
}

/* Children of this process, zombies too. */
static int n_children(void)
{
	char path[64], text[512] = "";
	int n = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		die(path);
	close(fd);
	for (char *c = strtok(text, " \n"); c; c = strtok(NULL, " \n"))
		n++;
	return n;
}

bool is_running(pid_t pid)
{
	char path[64], text[512] = "", *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	if (fd >= 0)
		close(fd);
	p = strrchr(text, ')');
	return p && p[1] && p[2] != 'Z' && p[2] != 'X';
}

void reap_all(void)
{
	int status;

	while (n_children() > GUESTS) {
		pid_t p = waitpid(-1, &status, __WALL);

		if (is_writer(p))
			die("a writer died");
		if (p > 0 && WIFSTOPPED(status))
			ptrace(PTRACE_CONT, p, NULL, NULL);
	}
}

void start_all(const char *verb, struct vunify *ret)
{
	/* on a busy machine it may have ended before it was looked at */
	for (int i = 0; i < 100; i++) {
		ret->front = start(verb);
		if (find_all(ret))
			return;
		reap_all();
	}
	fprintf(stderr, "%s: no processes of it were found\n", verb);
	exit(2);
}

void kill_them(unsigned who, const struct vunify *v)
{
	if (who & GUARDIAN)
		kill(v->guardian, SIGKILL);
	if (who & FRONT)
		kill(v->front, SIGKILL);
	if (who & WORKER)
		kill(v->worker, SIGKILL);
}

/* ---- at a system call ---- */

static bool is_step(const struct __ptrace_syscall_info *s)
{
	if (s->op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	switch (s->entry.nr) {
	case SYS_linkat:
	case SYS_renameat2:
	case SYS_unlinkat:
		return true;
	case SYS_ioctl:
		return s->entry.args[1] == FS_IOC_SETFLAGS || s->entry.args[1] == FS_IOC_FSSETXATTR;
	case SYS_fcntl:
		return s->entry.args[1] == F_SETLEASE || s->entry.args[1] == F_GETLEASE;
	case SYS_write: /* of the freezer, and to the journal */
		return true;
	}
	return false;
}

bool attach(pid_t worker)
{
	return !ptrace(PTRACE_SEIZE, worker, NULL,
		       (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE)) &&
	       !ptrace(PTRACE_INTERRUPT, worker, NULL, NULL);
}

unsigned run_to(pid_t worker, unsigned n, pid_t *ret_stopped)
{
	unsigned seen = 0;
	int status;

	*ret_stopped = 0;
	for (;;) {
		pid_t t = waitpid(-1, &status, __WALL);
		int sig = 0;

		if (t < 0)
			return seen;
		if (!WIFSTOPPED(status)) {
			if (t == worker)
				return seen;
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			struct __ptrace_syscall_info s = {0};

			seen += ptrace(PTRACE_GET_SYSCALL_INFO, t, (void *)sizeof(s), &s) > 0 &&
				is_step(&s);
			if (n && seen == n) {
				*ret_stopped = t;
				return seen;
			}
		} else if (!(status >> 16) && WSTOPSIG(status) != SIGTRAP) {
			sig = WSTOPSIG(status);
		}
		ptrace(PTRACE_SYSCALL, t, NULL, (void *)(intptr_t)sig);
	}
}

void go_on(pid_t stopped)
{
	ptrace(PTRACE_SYSCALL, stopped, NULL, NULL);
}
