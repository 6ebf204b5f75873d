/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has a running process make a call of prctl(2), by ptrace(2): for what a process can only say of itself. One thread
 * of it is stopped for some tenths of a millisecond, the others run on. Afterwards it is what it was: registers,
 * mask of signals, and a call that was interrupted is made anew. (One that waits for a limited time, and would tell of
 * an interruption by EINTR, as epoll_wait(2), waits for its whole time again.)
 *
 * x86-64 and arm64. A child of the caller does it, which is killed by nobody: if it died at the wrong instant, the
 * process would go on with the wrong registers.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum vu_inject_e {
	VU_INJECT_GONE = 1, /* the process has ended */
	VU_INJECT_ABI,	    /* it is a 32-bit process, or the machine is none that is known */
	VU_INJECT_SECCOMP,  /* a filter looks at its calls, and may kill it for this one */
	VU_INJECT_TRACED,   /* somebody else traces it, or it may not be traced */
	VU_INJECT_STOPPED,  /* it is stopped (SIGSTOP, Ctrl-Z), and has to be continued first */
	VU_INJECT_BUSY,	    /* it does not stop: frozen, or in an uninterruptible wait */
	VU_INJECT_KERNEL,   /* a thread of the kernel, which has no memory of its own */
	VU_INJECT_NO_CALL,  /* no instruction that makes a call was found in its memory */
	VU_INJECT_SELF,	    /* it is the caller, or an ancestor that waits for it */
	VU_INJECT_RESTLESS, /* each time that it was stopped it had executed another program */
};

enum vu_inject_flag {
	/*
	 * Filters of seccomp do not look at this call (PTRACE_O_SUSPEND_SECCOMP, Linux 4.3 with
	 * CONFIG_CHECKPOINT_RESTORE; for who is under none himself). Without it such a process is refused.
	 */
	VU_INJECT_SUSPEND_SECCOMP = 1 << 0,
};

/*
 * Calls prctl(option, arg2, 0, 0, 0) in the process. Returns 0 and what the call returned in the process, which
 * may be a negative errno, in ret; a code above; or a negative errno.
 */
int vu_inject_prctl(pid_t pid, unsigned flags, int option, unsigned long arg2, long *ret);

/* Of a code above; static text. */
const char *vu_inject_why(int code);
