/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "break-trace.h"

#include <dirent.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

static void go(struct traced *k, int sig)
{
	ptrace(PTRACE_SYSCALL, k->tid, NULL, (void *)(intptr_t)sig);
}

bool trace_begin(struct trace *t, pid_t worker)
{
	char path[64];
	int n = 0;

	t->worker = worker;
	snprintf(path, sizeof(path), "/proc/%d/task", worker);
	DIR *d = opendir(path);

	for (const struct dirent *e; d && (e = readdir(d)) && n < TRACE_THREADS;) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid <= 0 || ptrace(PTRACE_SEIZE, tid, NULL, (void *)PTRACE_O_TRACESYSGOOD))
			continue;
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
		t->v[n++].tid = tid;
	}
	if (d)
		closedir(d);
	/* whoever waits for a notification enters that call anew, and is seen to */
	for (int i = 0, status; i < n; i++)
		if (waitpid(t->v[i].tid, &status, __WALL) != t->v[i].tid || !WIFSTOPPED(status))
			t->v[i].tid = 0;
		else
			go(&t->v[i], 0);
	return n > 0;
}

/* The call that it is about to make is left out, and returns an error. */
static void leave_out(struct traced *k)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, k->tid, NULL, &r))
		return;
	r.orig_rax = UINT64_MAX;
	ptrace(PTRACE_SETREGS, k->tid, NULL, &r);
	k->fails = true;
}

static void return_error(struct traced *k, int err)
{
	struct user_regs_struct r;

	k->fails = false;
	if (ptrace(PTRACE_GETREGS, k->tid, NULL, &r))
		return;
	r.rax = (unsigned long long)-(long long)err;
	ptrace(PTRACE_SETREGS, k->tid, NULL, &r);
}

static bool is_receive(const struct __ptrace_syscall_info *s)
{
	return s->entry.nr == SYS_ioctl && s->entry.args[1] == SECCOMP_IOCTL_NOTIF_RECV;
}

static void enter(struct traced *k, const struct __ptrace_syscall_info *s)
{
	struct seccomp_data d = {.nr = (int)s->entry.nr};

	for (unsigned i = 0; i < 6; i++)
		d.args[i] = s->entry.args[i];
	k->call = call_of(&d);
	k->entered = true;
	k->receives = is_receive(s);
}

/* The server is about to make a call. Returns true when it is to stay there. */
static bool server_enters(struct trace *t, void (*seen)(void *arg, struct call c), void *arg)
{
	struct traced *k = t->server;

	/* it waits for the next one, or until it is its turn to */
	if (k->receives || (t->sent && k->call.nr == SYS_futex))
		t->done = true;
	t->sent = t->sent ||
		  (k->call.nr == SYS_ioctl && k->call.kind == (uint32_t)SECCOMP_IOCTL_NOTIF_SEND);
	if (seen)
		seen(arg, k->call);
	if (t->aim.nr < 0 || !call_equal(k->call, t->aim))
		return false;
	bool first = ++t->n_aim == t->nth;

	if (t->err && (first || (t->ever && t->hit)))
		leave_out(k);
	t->hit = t->hit || first;
	k->aimed = first && t->behind;
	return first && !t->err && !t->behind;
}

/* Returns true when it is to stay there. */
static bool at_call(struct trace *t, struct traced *k, void (*seen)(void *arg, struct call c),
		    void *arg)
{
	struct __ptrace_syscall_info s = {0};

	if (ptrace(PTRACE_GET_SYSCALL_INFO, k->tid, (void *)sizeof(s), &s) <= 0)
		return false;
	if (s.op == PTRACE_SYSCALL_INFO_ENTRY) {
		enter(k, &s);
		return k == t->server && !t->done && server_enters(t, seen, arg);
	}
	if (s.op != PTRACE_SYSCALL_INFO_EXIT)
		return false;
	if (k->fails)
		return_error(k, t->err);
	else if (k->entered && k->receives && !s.exit.is_error && !t->server)
		t->server = k;
	k->entered = false;
	return k->aimed;
}

static bool take(struct trace *t, struct traced *k, int status,
		 void (*seen)(void *arg, struct call c), void *arg)
{
	int sig = 0;

	if (!WIFSTOPPED(status)) {
		k->tid = 0;
		return false;
	}
	if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		if (at_call(t, k, seen, arg))
			return true;
	} else if (!(status >> 16) && WSTOPSIG(status) != SIGTRAP) {
		sig = WSTOPSIG(status);
	}
	go(k, sig);
	return false;
}

bool trace_step(struct trace *t, void (*seen)(void *arg, struct call c), void *arg)
{
	bool stays = false;
	int status;

	for (unsigned i = 0; i < TRACE_THREADS; i++) {
		struct traced *k = &t->v[i];

		while (k->tid && !stays && waitpid(k->tid, &status, WNOHANG | __WALL) == k->tid)
			stays = take(t, k, status, seen, arg);
	}
	return stays;
}

void trace_go_on(struct trace *t)
{
	if (t->server && t->server->tid)
		go(t->server, 0);
}

void trace_end(struct trace *t)
{
	int status;

	for (unsigned i = 0; i < TRACE_THREADS; i++) {
		struct traced *k = &t->v[i];

		if (!k->tid)
			continue;
		ptrace(PTRACE_INTERRUPT, k->tid, NULL, NULL);
		/* a call that is left out is to return its error first */
		while (waitpid(k->tid, &status, __WALL) == k->tid && WIFSTOPPED(status)) {
			bool fails = k->fails;

			if (fails) {
				(void)take(t, k, status, NULL, NULL);
				ptrace(PTRACE_INTERRUPT, k->tid, NULL, NULL);
				continue;
			}
			int sig = !(status >> 16) && (WSTOPSIG(status) & 0x7f) != SIGTRAP
					  ? WSTOPSIG(status)
					  : 0;

			ptrace(PTRACE_DETACH, k->tid, NULL, (void *)(intptr_t)sig);
			break;
		}
		k->tid = 0;
	}
}

void trace_reap(struct trace *t)
{
	int status;

	for (unsigned i = 0; i < TRACE_THREADS; i++) {
		struct traced *k = &t->v[i];

		/* the first one is told of last, when the others are gone */
		while (k->tid && waitpid(k->tid, &status, WNOHANG | __WALL) == k->tid)
			if (!WIFSTOPPED(status))
				k->tid = 0;
	}
	for (unsigned i = TRACE_THREADS; i-- > 0;)
		while (t->v[i].tid)
			if (waitpid(t->v[i].tid, &status, __WALL) < 0 || !WIFSTOPPED(status))
				t->v[i].tid = 0;
}
