/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/watched.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fork.h"
#include "base/stop.h"

#define POLL_MS 100 /* how soon a stop is seen */

void *vu_watched_memory(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void vu_watched_clear(void *memory, size_t bytes)
{
	/* a hole in it is zeros again */
	(void)madvise(memory, bytes, MADV_REMOVE);
}

static int child(int (*fn)(void *arg), void *arg, pid_t parent)
{
	signal(SIGINT, SIG_IGN); /* the parent sees to it */
	signal(SIGTERM, SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		return -ESRCH;
	return fn(arg);
}

/* Until the child has ended (true), or is to be killed. */
static bool watch(int pidfd, const _Atomic uint64_t *progress, unsigned idle_ms)
{
	uint64_t last = *progress, now;
	int64_t since = vu_clock_ms();
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	for (;;) {
		int ready = poll(&p, 1, POLL_MS);

		if (ready > 0)
			return true;
		if (vu_stop_requested() || (ready < 0 && errno != EINTR))
			return false;
		now = *progress;
		if (now != last)
			since = vu_clock_ms();
		else if (vu_clock_ms() - since >= idle_ms)
			return false;
		last = now;
	}
}

int vu_watched_run(const _Atomic uint64_t *progress, unsigned idle_ms, int (*fn)(void *arg),
		   void *arg)
{
	_cleanup_fd_ int pidfd = -EBADF;
	pid_t self = getpid(), pid = vu_fork(0, &pidfd);
	int status = 0;

	if (pid < 0)
		return (int)pid;
	if (!pid)
		_exit(-child(fn, arg, self) & 0xff);
	bool ended = watch(pidfd, progress, idle_ms);

	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!ended)
		return vu_stop_requested() ? -ECANCELED : VU_WATCHED_STUCK;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}
