/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/watched.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/stop.h"

#define POLL_MS 100 /* how soon a stop is seen */
#define REAP_MS 200

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

/* Says what came of it by the pipe: it may be that a thread of its keeps the process from ending. */
_Noreturn static void child(const struct vu_watched *w, int out, pid_t parent)
{
	int r = 0;

	signal(SIGINT, SIG_IGN); /* the parent sees to it */
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		r = -ESRCH;
	if (!r)
		r = w->fn(w->arg);
	(void)!write(out, &r, sizeof(r));
	_exit(0);
}

/* What the child says in the end, or why that is not waited for any more. */
static int watch(const struct vu_watched *w, int in)
{
	uint64_t last = w->progress ? *w->progress : 0, now;
	int64_t since = vu_clock_ms();
	struct pollfd p = {.fd = in, .events = POLLIN};
	int r;

	for (;;) {
		if (w->look)
			w->look(w->arg);
		int ready = poll(&p, 1, POLL_MS);

		if (ready > 0)
			return read(in, &r, sizeof(r)) == sizeof(r) ? r : -EIO;
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (vu_stop_requested())
			return -ECANCELED;
		now = w->progress ? *w->progress : last + 1;
		if (now != last)
			since = vu_clock_ms();
		else if (vu_clock_ms() - since >= w->idle_ms)
			return VU_WATCHED_STUCK;
		last = now;
	}
}

static void end_child(pid_t pid)
{
	int64_t until = vu_clock_ms() + REAP_MS;

	kill(pid, SIGKILL);
	while (!waitpid(pid, NULL, WNOHANG) && vu_clock_ms() < until)
		poll(NULL, 0, 1);
}

int vu_watched_do(const struct vu_watched *w)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	_cleanup_fd_ int in = fds[0], out = fds[1];
	pid_t self = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		child(w, out, self);
	close(vu_take_fd(out));
	r = watch(w, in);
	end_child(pid);
	return r;
}

int vu_watched_run(const _Atomic uint64_t *progress, unsigned idle_ms, int (*fn)(void *arg),
		   void *arg)
{
	return vu_watched_do(&(struct vu_watched){
		.fn = fn, .arg = arg, .progress = progress, .idle_ms = idle_ms});
}
