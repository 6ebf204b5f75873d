/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc keeps a thread's number in memory, which its own fork(2) brings up to date. This is done by the
 * kernel here, at the address that glibc once told it (PR_GET_TID_ADDRESS; without it, the number of
 * the parent stays there, which only matters to who compares owners of recursive mutexes).
 */
#include "base/fork.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where there is none, clone3(2) is missing for another reason: valgrind ends a process that calls clone(2) so. */
static bool has_filter(void)
{
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER;
}

/*
 * By clone(2), whose flags filters of system calls can look at: where they do (RestrictNamespaces= of systemd),
 * clone3(2) is not there, so that this is tried. It has one place for what the parent is told: no more than the
 * pidfd is.
 */
static long old_clone(const struct clone_args *a)
{
	unsigned long flags = (unsigned long)(a->flags | a->exit_signal);

	if (a->flags >> 32)
		return syscall(SYS_clone3, a, sizeof(*a)); /* only there: says why not */
#if defined(__x86_64__)
	return syscall(SYS_clone, flags, 0L, a->pidfd, a->child_tid, 0L);
#elif defined(__aarch64__)
	return syscall(SYS_clone, flags, 0L, a->pidfd, 0L, a->child_tid);
#else
	(void)flags;
	errno = ENOSYS;
	return -1;
#endif
}

pid_t vu_fork(uint64_t flags, int *ret_pidfd)
{
	int pidfd = -EBADF;
	struct clone_args a = {
		.flags = flags | (ret_pidfd ? CLONE_PIDFD : 0),
		.exit_signal = SIGCHLD,
		.pidfd = ret_pidfd ? (uintptr_t)&pidfd : 0,
	};
	uint64_t tid = 0;

	if (!prctl(PR_GET_TID_ADDRESS, &tid, 0, 0, 0) && tid) {
		a.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
		a.child_tid = tid;
	}
	long r = syscall(SYS_clone3, &a, sizeof(a));

	if (r < 0 && errno == ENOSYS)
		r = has_filter() ? old_clone(&a) : (errno = ENOSYS, -1);
	if (r > 0 && ret_pidfd)
		*ret_pidfd = pidfd;
	return r < 0 ? -errno : (pid_t)r;
}
