/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "power-trace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS_MAX 256

/* What changes something, and which argument says where. */
static const struct {
	long nr;
	int fd;	   /* the argument that is a descriptor */
	bool sync; /* it waits for the disk */
} calls[] = {
	{SYS_linkat, 2, false},	   {SYS_unlinkat, 0, false},
	{SYS_renameat, 0, false},  {SYS_renameat2, 0, false},
	{SYS_mkdirat, 0, false},   {SYS_fchmod, 0, false},
	{SYS_fchown, 0, false},	   {SYS_utimensat, 0, false},
	{SYS_fsetxattr, 0, false}, {SYS_fremovexattr, 0, false},
	{SYS_ftruncate, 0, false}, {SYS_write, 0, false},
	{SYS_pwrite64, 0, false},  {SYS_copy_file_range, 2, false},
	{SYS_fsync, 0, true},	   {SYS_fdatasync, 0, true},
	{SYS_syncfs, 0, true},	   {SYS_sync_file_range, 0, true},
};

struct thread {
	pid_t tid; /* 0: free */
	bool lied;
};

struct tracing {
	const struct power_trace *t;
	struct thread v[THREADS_MAX];
	uint32_t n_calls;
	int n_syncs;
	pid_t pid;
	int status; /* of the program */
};

static struct thread *thread_of(struct tracing *g, pid_t tid)
{
	struct thread *unused = NULL;

	for (int i = THREADS_MAX; i-- > 0;) {
		if (g->v[i].tid == tid)
			return &g->v[i];
		if (!g->v[i].tid)
			unused = &g->v[i];
	}
	if (unused) {
		*unused = (struct thread){.tid = tid};
		return unused;
	}
	fprintf(stderr, "power: too many threads\n");
	exit(2);
}

static uint64_t argument(const struct user_regs_struct *r, int i)
{
	const uint64_t v[] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};

	return v[i];
}

static bool on_device(pid_t tid, uint64_t fd, dev_t dev)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, (int)fd);
	return !stat(path, &st) && st.st_dev == dev;
}

/* Is it a call that changes something on the device, and a sync? */
static bool counts(pid_t tid, const struct user_regs_struct *r, dev_t dev, bool *ret_sync)
{
	long nr = (long)r->orig_rax;

	*ret_sync = false;
	if (nr == SYS_ioctl && (r->rsi == FS_IOC_SETFLAGS || r->rsi == FS_IOC_FSSETXATTR ||
				r->rsi == FICLONE || r->rsi == FIDEDUPERANGE))
		return on_device(tid, r->rdi, dev);
	if (nr == SYS_openat && r->rdx & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
		return on_device(tid, r->rdi, dev);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].nr != nr)
			continue;
		*ret_sync = calls[i].sync;
		return on_device(tid, argument(r, calls[i].fd), dev);
	}
	return false;
}

/* Before a call. */
static void on_entry(struct tracing *g, struct thread *th)
{
	struct user_regs_struct r;
	bool sync;

	if (ptrace(PTRACE_GETREGS, th->tid, NULL, &r))
		return;
	if (g->t->on_other && counts(th->tid, &r, g->t->other, &sync) && !sync)
		g->t->on_other(g->t->arg);
	if (!counts(th->tid, &r, g->t->dev, &sync))
		return;
	enum power_act act =
		g->t->on_call(g->t->arg, g->n_calls++, sync ? g->n_syncs++ : -1, (long)r.orig_rax);

	/* processes that it has started, too */
	for (int i = 0; act == POWER_KILL && i < THREADS_MAX; i++)
		if (g->v[i].tid)
			kill(g->v[i].tid, SIGKILL);
	if (act != POWER_LIE)
		return;
	th->lied = true;
	r.orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, th->tid, NULL, &r);
}

static void on_exit_of(struct thread *th)
{
	struct user_regs_struct r;

	if (!th->lied || ptrace(PTRACE_GETREGS, th->tid, NULL, &r))
		return;
	th->lied = false;
	r.rax = 0;
	ptrace(PTRACE_SETREGS, th->tid, NULL, &r);
}

static int start(struct tracing *g)
{
	g->pid = fork();
	if (g->pid)
		return g->pid < 0 ? -1 : 0;
	int out = open(g->t->output, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	dup2(out, 1);
	dup2(out, 2);
	dup2(open("/dev/null", O_RDONLY), 0);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	execv(g->t->argv[0], (char *const *)(uintptr_t)g->t->argv);
	_exit(126);
}

/* One stop of a thread. Returns the signal to go on with. */
static int stopped(struct tracing *g, pid_t tid, int status)
{
	struct __ptrace_syscall_info info;
	struct thread *th = thread_of(g, tid);
	int sig = WSTOPSIG(status);

	if (sig != (SIGTRAP | 0x80)) /* new threads begin with SIGSTOP */
		return status >> 16 || sig == SIGSTOP || sig == SIGTRAP ? 0 : sig;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) < 0)
		return 0;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		on_entry(g, th);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		on_exit_of(th);
	return 0;
}

static bool any_left(const struct tracing *g)
{
	for (int i = 0; i < THREADS_MAX; i++)
		if (g->v[i].tid)
			return true;
	return false;
}

static void wait_all(struct tracing *g)
{
	int status;

	while (any_left(g)) {
		pid_t tid = waitpid(-1, &status, __WALL);

		if (tid < 0 && errno != EINTR)
			break;
		if (tid > 0 && WIFSTOPPED(status)) {
			int sig = stopped(g, tid, status);

			ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(intptr_t)sig);
		} else if (tid > 0) {
			thread_of(g, tid)->tid = 0;
			if (tid == g->pid)
				g->status = status;
		}
	}
}

int power_trace_run(const struct power_trace *t)
{
	struct tracing g = {.t = t};
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			     PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int status;

	if (start(&g) || waitpid(g.pid, &status, __WALL) != g.pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, g.pid, NULL, (void *)options) ||
	    ptrace(PTRACE_SYSCALL, g.pid, NULL, NULL))
		return -2;
	thread_of(&g, g.pid);
	wait_all(&g);
	return WIFEXITED(g.status) ? WEXITSTATUS(g.status) : -1;
}
