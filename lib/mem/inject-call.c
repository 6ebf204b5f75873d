/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done to the thread, with the kernel's behaviour that it rests on (Linux 5.3 and later; measured on 6.18):
 *
 *  1. PTRACE_SEIZE and PTRACE_INTERRUPT: it stops in get_signal(), on its way back to user space. A call that waited
 *     has been interrupted; its registers say that it is to be made anew (-ERESTARTSYS and its like), which the kernel
 *     looks at only when it leaves get_signal().
 *  2. Its mask of signals is set to all: none can come in between, with registers that are not its own. What is
 *     pending stays so. SIGSTOP comes all the same: it is kept back, and sent again in the end.
 *  3. Registers for the call, at an instruction that makes one (the vDSO has it); PTRACE_SYSCALL twice. No single
 *     step: that would end with SIGTRAP, for which the kernel resets a handler where it is blocked or ignored.
 *  4. PTRACE_INTERRUPT once more, so that it stops in get_signal() again: registers put back at the end of a call are
 *     looked at for what is to be made anew only because detaching wakes it like a signal, which nobody promises.
 *  5. Registers and mask as they were, PTRACE_DETACH.
 *
 * epoll_wait(2) and some others return -EINTR when they are interrupted by whatever it is (signal(7)). Nobody has sent
 * a signal, so they are made anew as well, unless there is one after all: -ERESTARTNOHAND.
 *
 * A thread in a restartable sequence (rseq(2)) starts it anew, as it does whenever it was not on a processor: the
 * kernel forgets the sequence when the thread goes on elsewhere, so that has to be done here.
 */
#include "mem/inject-call.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "mem/inject-arch.h"
#include "mem/maps.h"

const char *vu_inject_why(int code)
{
	static const char *const why[] = {
		[VU_INJECT_GONE] = "it has ended",
		[VU_INJECT_ABI] = "it is a 32-bit process, or of an unknown machine",
		[VU_INJECT_SECCOMP] = "a seccomp filter looks at its calls",
		[VU_INJECT_TRACED] = "it is traced already, or may not be traced",
		[VU_INJECT_STOPPED] = "it is stopped: continue it first",
		[VU_INJECT_BUSY] = "it does not stop: frozen, or in an uninterruptible wait",
		[VU_INJECT_KERNEL] = "it is a thread of the kernel",
		[VU_INJECT_NO_CALL] = "no instruction that makes a call was found in it",
		[VU_INJECT_SELF] = "it is vunify itself",
		[VU_INJECT_RESTLESS] = "it executes one program after the other",
	};

	return code > 0 && (size_t)code < VU_ARRAY_SIZE(why) ? why[code] : "?";
}

#if VU_INJECT_ARCH

/* Debian 12's headers have not all of them. */
#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif
#define REQ_GETSIGMASK 0x420a
#define REQ_SETSIGMASK 0x420b
#define REQ_GET_RSEQ 0x420f
#define REQ_GET_DISPATCH 0x4211

#define STOP_MS 2000	      /* it has to stop within that, */
#define CALL_MS 120000	      /* and the call to end: unmerging makes copies of pages */
#define FIND_MS 5000	      /* reading what it has mapped */
#define FIND_BYTES (16 << 20) /* of code that is looked through */
#define TRIES 10	      /* of one that executes other programs meanwhile */
#define ERESTARTNOHAND 514    /* the kernel's own */

struct target {
	pid_t pid, tid;
	unsigned flags; /* enum vu_inject_flag */
	int task;	/* owned: O_PATH, of tid */
	int mem;	/* owned */
	uint64_t insn;
	vu_inject_regs regs; /* as they were */
	uint64_t mask;	     /* the same */
	bool stop;	     /* a SIGSTOP was kept back */
};

/* What the child says: twice, first that the search is over. */
struct answer {
	int code;
	long ret;
};

/* ---- which thread, and where ---- */

/* 0: this thread will do; or why not. tracer: who may trace it, this process; or 0. */
static int judge(const struct target *t, int task, pid_t tracer)
{
	_cleanup_fd_ int fd = openat(task, "status", O_RDONLY | O_CLOEXEC);
	char text[4096]; /* of the line of its groups, which may be longer, a part is enough */
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	int r = 0;
	bool has_memory = false;

	if (!f)
		return VU_INJECT_GONE;
	fd = -EBADF;
	while (fgets(text, sizeof(text), f)) {
		const char *state = strncmp(text, "State:\t", 7) ? NULL : text + 7;

		has_memory = has_memory || !strncmp(text, "VmSize:", 7);
		if (state && (*state == 'Z' || *state == 'X'))
			return VU_INJECT_GONE;
		if (!strncmp(text, "TracerPid:\t", 11) && atoi(text + 11) != tracer)
			r = VU_INJECT_TRACED;
		if (!strncmp(text, "Seccomp:\t", 9) && atoi(text + 9) &&
		    !(t->flags & VU_INJECT_SUSPEND_SECCOMP))
			r = r ? r : VU_INJECT_SECCOMP;
	}
	return has_memory ? r : VU_INJECT_KERNEL;
}

/* The first thread that will do: one is enough, all have the same memory. */
static int choose_thread(struct target *t)
{
	char path[32];
	const struct dirent *e;
	int r = VU_INJECT_GONE;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)t->pid);
	_cleanup_closedir_ DIR *d = opendir(path);

	while (d && r && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		_cleanup_fd_ int task =
			openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		int why = task < 0 ? VU_INJECT_GONE : judge(t, task, 0);

		/* a thread that has ended says nothing about the others */
		if (why != VU_INJECT_GONE || r == VU_INJECT_GONE)
			r = why;
		if (!why) {
			t->tid = (pid_t)atoi(e->d_name);
			t->task = vu_take_fd(task);
		}
	}
	return r;
}

/* Fits vu_maps_each: 1 when it was found. */
static int find_in(void *arg, const struct vu_map *m)
{
	struct target *t = arg;
	uint64_t size = VU_MIN(m->end - m->start, (uint64_t)FIND_BYTES);

	if (m->perms[0] != 'r' || m->perms[2] != 'x' || !strcmp(m->path, "[vsyscall]"))
		return 0;
	_cleanup_free_ uint8_t *code = malloc(size);
	ssize_t n = code ? pread(t->mem, code, size, (off_t)m->start) : -1;

	for (ssize_t i = 0; i + (ssize_t)sizeof(vu_inject_insn) <= n; i += VU_INJECT_ALIGN)
		if (!memcmp(code + i, vu_inject_insn, sizeof(vu_inject_insn))) {
			t->insn = m->start + (uint64_t)i;
			return 1;
		}
	return 0;
}

static int find_in_vdso(void *arg, const struct vu_map *m)
{
	return strcmp(m->path, "[vdso]") ? 0 : find_in(arg, m);
}

static int find(struct target *t)
{
	int r = choose_thread(t);

	if (r)
		return r;
	t->mem = openat(t->task, "mem", O_RDONLY | O_CLOEXEC);
	if (t->mem < 0)
		return errno == ENOENT || errno == ESRCH ? VU_INJECT_GONE : VU_INJECT_TRACED;
	r = vu_maps_each(t->task, 0, find_in_vdso, t);
	if (!r)
		r = vu_maps_each(t->task, 0, find_in, t);
	return r == 1			     ? 0
	       : r == -ENOENT || r == -ESRCH ? VU_INJECT_GONE
	       : r < 0			     ? r
					     : VU_INJECT_NO_CALL;
}

/* ---- ptrace ---- */

static long request(int what, pid_t tid, uintptr_t addr, const void *data)
{
	return syscall(SYS_ptrace, what, tid, addr, data);
}

/* Until it stops, but for ms at most (0: for as long as it takes). Returns 0 with its status, or a code. */
static int wait_stop(const struct target *t, int ms, int *ret_status)
{
	int64_t until = ms ? vu_clock_ms() + ms : INT64_MAX;

	for (unsigned n = 0;; n++) {
		pid_t p = waitpid(t->tid, ret_status, __WALL | WNOHANG);

		if (p == t->tid)
			return WIFSTOPPED(*ret_status) ? 0 : VU_INJECT_GONE;
		if (p < 0 && errno != EINTR)
			return VU_INJECT_GONE;
		if (vu_clock_ms() > until)
			return VU_INJECT_BUSY;
		if (n > 10)
			usleep(n < 100 ? 50 : 1000);
	}
}

static bool is_event(int status)
{
	return status >> 16 == PTRACE_EVENT_STOP;
}

/* Stops it on its way back to user space. Signals that are just being delivered go their way. */
static int seize(struct target *t)
{
	uintptr_t options = PTRACE_O_TRACESYSGOOD |
			    (t->flags & VU_INJECT_SUSPEND_SECCOMP ? PTRACE_O_SUSPEND_SECCOMP : 0);
	int status, r = 0;

	if (request(PTRACE_SEIZE, t->tid, 0, (void *)options))
		return errno == ESRCH	 ? VU_INJECT_GONE
		       : errno == EINVAL ? VU_INJECT_SECCOMP
					 : VU_INJECT_TRACED;
	if (request(PTRACE_INTERRUPT, t->tid, 0, NULL))
		return VU_INJECT_GONE;
	for (;;) {
		r = wait_stop(t, STOP_MS, &status);
		if (r || is_event(status))
			break;
		request(PTRACE_CONT, t->tid, 0, (void *)(uintptr_t)WSTOPSIG(status));
	}
	if (!r && WSTOPSIG(status) != SIGTRAP)
		r = VU_INJECT_STOPPED;
	return r;
}

/* What is blocked is not delivered, unless its own instruction is the reason. */
static bool is_fault(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGILL;
}

/*
 * Lets it run to the next stop that is wanted: of a call (SIGTRAP | 0x80), or by the interruption. It has
 * registers that are not its own: so it is not left before, however long that takes (on a busy machine; or it
 * is frozen just now, and goes on when it is thawed). But where there is no such instruction after all it would fault
 * for ever.
 */
static int run_to(struct target *t, int how, bool event)
{
	int status = 0, r;

	do {
		if (request(how, t->tid, 0, NULL))
			return VU_INJECT_GONE;
		r = wait_stop(t, 0, &status);
		if (r)
			return r;
		if (!is_event(status) && WSTOPSIG(status) == SIGSTOP)
			t->stop = true;
		if (!is_event(status) && is_fault(WSTOPSIG(status)))
			return VU_INJECT_RESTLESS;
	} while (event ? !is_event(status) : WSTOPSIG(status) != (SIGTRAP | 0x80));
	return 0;
}

static int get_regs(const struct target *t, vu_inject_regs *regs)
{
	struct iovec v = {regs, sizeof(*regs)};

	if (request(PTRACE_GETREGSET, t->tid, NT_PRSTATUS, &v))
		return VU_INJECT_GONE;
	return vu_inject_is_native(regs, v.iov_len) ? 0 : VU_INJECT_ABI;
}

static int set_regs(const struct target *t, vu_inject_regs *regs)
{
	struct iovec v = {regs, sizeof(*regs)};

	return request(PTRACE_SETREGSET, t->tid, NT_PRSTATUS, &v) ? VU_INJECT_GONE : 0;
}

/* It may have executed another program since it was looked at, or have got a filter. It is stopped. */
static int look_again(struct target *t)
{
	uint8_t code[sizeof(vu_inject_insn)];
	int mem, r = judge(t, t->task, getpid());

	if (r)
		return r;
	mem = openat(t->task, "mem", O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return VU_INJECT_GONE;
	vu_close_p(&t->mem);
	t->mem = mem;
	if (pread(mem, code, sizeof(code), (off_t)t->insn) != sizeof(code) ||
	    memcmp(code, vu_inject_insn, sizeof(code)) != 0)
		return VU_INJECT_RESTLESS;
	return 0;
}

/* Calls may be sent to a handler of its own instead (prctl(2), PR_SET_SYSCALL_USER_DISPATCH; Linux 6.4 tells). */
static bool is_dispatched(const struct target *t)
{
	struct {
		uint64_t mode, selector, offset, len;
	} d = {0};

	return !request(REQ_GET_DISPATCH, t->tid, sizeof(d), &d) && d.mode;
}

/* ---- what is put back ---- */

/* In a restartable sequence: it begins anew. */
static void leave_sequence(struct target *t)
{
	struct {
		uint64_t area;
		uint32_t size, signature, flags, pad;
	} where = {0};
	struct {
		uint32_t version, flags;
		uint64_t start, length, abort;
	} cs;
	uint64_t at = 0, pc = vu_inject_pc(&t->regs);

	if (request(REQ_GET_RSEQ, t->tid, sizeof(where), &where) <= 0 || !where.area)
		return;
	/* struct rseq: the processor twice, then where the sequence is described */
	if (pread(t->mem, &at, sizeof(at), (off_t)(where.area + 8)) != sizeof(at) || !at ||
	    pread(t->mem, &cs, sizeof(cs), (off_t)at) != sizeof(cs))
		return;
	if (pc - cs.start < cs.length)
		vu_inject_set_pc(&t->regs, cs.abort);
}

/* Those that say EINTR when they are interrupted, whatever by. */
static void make_anew(struct target *t)
{
	static const long calls[] = {
#ifdef SYS_epoll_wait
		SYS_epoll_wait,
#endif
		SYS_epoll_pwait,
#ifdef SYS_epoll_pwait2
		SYS_epoll_pwait2,
#endif
		SYS_semtimedop,
#ifdef SYS_semop
		SYS_semop,
#endif
		SYS_rt_sigtimedwait,
		SYS_io_getevents,
		/* of sockets with SO_RCVTIMEO or SO_SNDTIMEO; connect(2) would be another call the second time */
		SYS_read,
		SYS_readv,
		SYS_write,
		SYS_writev,
		SYS_recvfrom,
		SYS_recvmsg,
		SYS_recvmmsg,
		SYS_sendto,
		SYS_sendmsg,
		SYS_accept,
		SYS_accept4,
		SYS_io_uring_enter,
	};
	long nr = vu_inject_interrupted(&t->regs);

	if (nr < 0 || vu_inject_result(&t->regs) != -EINTR)
		return;
	for (size_t i = 0; i < VU_ARRAY_SIZE(calls); i++)
		if (nr == calls[i])
			vu_inject_set_result(&t->regs, -ERESTARTNOHAND);
}

/* It is stopped in get_signal(), with registers that are not its own. */
static int put_back(struct target *t)
{
	int r = set_regs(t, &t->regs);

	if (request(REQ_SETSIGMASK, t->tid, sizeof(t->mask), &t->mask))
		r = VU_INJECT_GONE;
	return r;
}

static void let_go(const struct target *t)
{
	request(PTRACE_DETACH, t->tid, 0, NULL);
	if (t->stop)
		kill(t->pid, SIGSTOP);
}

/* ---- the call ---- */

/* It is stopped in get_signal(), and is so again afterwards. */
static int make_call(struct target *t, int option, unsigned long arg2, long *ret)
{
	vu_inject_regs regs = t->regs;
	uint64_t all = ~UINT64_C(0);
	int r;

	vu_inject_set_call(&regs, t->insn, SYS_prctl, (uint64_t)option, arg2);
	if (request(REQ_SETSIGMASK, t->tid, sizeof(all), &all))
		return VU_INJECT_GONE;
	r = set_regs(t, &regs);
	if (!r)
		r = run_to(t, PTRACE_SYSCALL, false);
	if (!r)
		r = run_to(t, PTRACE_SYSCALL, false);
	if (!r)
		r = get_regs(t, &regs);
	if (!r)
		*ret = vu_inject_result(&regs);
	if (!r && request(PTRACE_INTERRUPT, t->tid, 0, NULL))
		r = VU_INJECT_GONE;
	if (!r)
		r = run_to(t, PTRACE_CONT, true);
	return r;
}

static int inject(struct target *t, int option, unsigned long arg2, long *ret)
{
	int r = seize(t), e;

	if (r == VU_INJECT_BUSY) /* ended with this child */
		return r;
	if (!r)
		r = look_again(t);
	if (!r)
		r = get_regs(t, &t->regs);
	if (!r && is_dispatched(t))
		r = VU_INJECT_SECCOMP;
	if (!r && request(REQ_GETSIGMASK, t->tid, sizeof(t->mask), &t->mask))
		r = VU_INJECT_GONE;
	if (r) {
		let_go(t);
		return r;
	}
	make_anew(t);
	leave_sequence(t);
	r = make_call(t, option, arg2, ret);
	e = put_back(t);
	let_go(t);
	return r ? r : e;
}

static void child(pid_t pid, unsigned flags, int option, unsigned long arg2, int parent)
{
	struct target t = {.pid = pid, .flags = flags, .task = -EBADF, .mem = -EBADF};
	struct answer a = {0};
	sigset_t all;
	char go;

	/* of its own session, with no signals: who ends the caller does not end this at the wrong instant */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	a.code = find(&t);
	if (write(parent, &a, sizeof(a)) == sizeof(a) && !a.code && read(parent, &go, 1) == 1) {
		a.code = inject(&t, option, arg2, &a.ret);
		(void)!write(parent, &a, sizeof(a));
	}
	_exit(0);
}

static int hear(int from, int ms, struct answer *ret)
{
	struct pollfd p = {.fd = from, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, ms);
	while (n < 0 && errno == EINTR);
	return n == 1 && read(from, ret, sizeof(*ret)) == sizeof(*ret) ? 0 : VU_INJECT_BUSY;
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The child searches first, and does nothing to the process before it is told to: until then it may be killed. */
static int talk(pid_t helper, int to, long *ret)
{
	struct answer a = {0};
	int r = hear(to, FIND_MS, &a);

	if (r || a.code || send(to, "", 1, MSG_NOSIGNAL) != 1) {
		kill(helper, SIGKILL);
		reap(helper);
		return r ? r : a.code ? a.code : VU_INJECT_BUSY;
	}
	r = hear(to, CALL_MS, &a);
	if (r) /* it has the process still, and ends when that goes on: it is left behind */
		return r;
	reap(helper);
	if (!a.code)
		*ret = a.ret;
	return a.code;
}

static int try_once(pid_t pid, unsigned flags, int option, unsigned long arg2, long *ret)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	_cleanup_fd_ int to = fds[0], childs = fds[1];
	pid_t helper = fork();

	if (helper < 0)
		return -errno;
	if (!helper) {
		close(to); /* so that the end of the caller is seen */
		child(pid, flags, option, arg2, childs);
	}
	close(vu_take_fd(childs));
	return talk(helper, to, ret);
}

int vu_inject_prctl(pid_t pid, unsigned flags, int option, unsigned long arg2, long *ret)
{
	int r = VU_INJECT_RESTLESS;

	if (pid == getpid() || pid == getppid())
		return VU_INJECT_SELF;
	for (int i = 0; r == VU_INJECT_RESTLESS && i < TRIES; i++)
		r = try_once(pid, flags, option, arg2, ret);
	return r;
}

#else

int vu_inject_prctl(pid_t pid, unsigned flags, int option, unsigned long arg2, long *ret)
{
	(void)pid;
	(void)flags;
	(void)option;
	(void)arg2;
	(void)ret;
	return VU_INJECT_ABI;
}

#endif
