/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel behaviour relied on (Linux 5.6 and later; measured on 6.18):
 *
 *  - clone3(2) with CLONE_FILES and CLONE_PIDFD (5.4) and without CLONE_VM: a fork whose table of
 *    descriptors is shared. What one opens or closes is open or closed in all, and a lease goes with
 *    the last descriptor of its open file, so not before the last of the three has ended.
 *  - /proc/locks shows a lease with the number of the process that took it. Where that process is not
 *    of the first PID namespace, the line is shown only while the number is in use: so the worker is
 *    reaped after everything has been closed.
 *  - The death of a parent is told by a signal (PR_SET_PDEATHSIG), here SIGTERM: the worker's handler
 *    asks for a stop, and the guardian passes it on. Orphans go to the nearest subreaper: the front.
 *
 * The guardian also thaws whom the worker holds frozen for too long (link/freezer.h), whatever keeps it.
 *
 * The front and the guardian take signals from a descriptor, so that they do nothing but wait in one
 * place. SIGTSTP stops the front, for the shell to see, and the worker, but never the guardian.
 */
#include "link/guardian.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fork.h"
#include "base/stop.h"

/* What the three share, besides the ledger. */
struct shared {
	_Atomic pid_t worker; /* 0: not yet, or reaped */
	_Atomic int pidfd;    /* of the worker, in the table of all three; or -EBADF */
	_Atomic bool reaped;
};

struct guardian {
	struct shared *shared;
	struct vu_ledger *ledger;
	sigset_t old;			       /* signals as they were */
	int signals;			       /* owned: signalfd */
	const struct vu_guardian_again *again; /* or NULL */
};

static void signals_of(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
}

/* A fork with the same table of descriptors. */
static pid_t fork_sharing(int *ret_pidfd)
{
	return vu_fork(CLONE_FILES, ret_pidfd);
}

/* ---- the front and the guardian ---- */

/* The first wins; more than one of the three may hear of it. */
static void pass_on(const struct guardian *g)
{
	struct signalfd_siginfo s;
	pid_t worker = atomic_load(&g->shared->worker);

	while (read(g->signals, &s, sizeof(s)) == sizeof(s))
		if (worker > 0)
			kill(worker, (int)s.ssi_signo);
}

/* Sleeps until something is to be done; whoever is frozen is not left so for too long. */
static int wait_once(const struct guardian *g, struct pollfd *p, nfds_t n)
{
	struct vu_frost *frost = vu_ledger_frost(g->ledger);
	uint64_t left = n > 2 ? vu_frost_left_ns(frost) : UINT64_MAX, count;
	struct timespec t = {.tv_nsec = (long)(left % UINT64_C(1000000000))};

	if (!left) {
		vu_frost_lift(frost);
		return 0;
	}
	if (ppoll(p, n, left == UINT64_MAX ? NULL : &t, NULL) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		pass_on(g);
	if (n > 2 && p[2].revents)
		(void)!read(frost->wake, &count, sizeof(count));
	return 0;
}

/*
 * Waits until the child has ended; it is not reaped yet. Passes signals on meanwhile. worker: it is the
 * one that freezes.
 */
static int wait_for(const struct guardian *g, int pidfd, bool worker)
{
	struct pollfd p[] = {
		{.fd = pidfd, .events = POLLIN},
		{.fd = g->signals, .events = POLLIN},
		{.fd = vu_ledger_frost(g->ledger)->wake, .events = POLLIN},
	};
	int r = 0;

	while (!r && !p[0].revents)
		r = wait_once(g, p, worker ? 3 : 2);
	return r;
}

static int reap(pid_t child, int *ret_status)
{
	pid_t r;

	do
		r = waitpid(child, ret_status, 0);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static void ended(struct vu_guardian_end *end, int status)
{
	end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	end->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/*
 * The guardian does nothing but sleep: when it wakes, guests are to be thawed or objects to be closed,
 * before anybody else. When that is done, and before it reaps the worker, it is to be like others: to
 * reap is to wait, without sleeping, for whoever else is just then removing entries of /proc/PID, such
 * as the worker's last thread. On the processor of a real-time process that one does not get on, until
 * the kernel cuts such processes short: 0.95 s (measured, every tenth run on a busy host).
 */
static void hurry(bool on)
{
	struct sched_param p = {.sched_priority = on ? 2 : 0};

	(void)sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &p);
}

/* The worker is a child of this process. */
static void watch_worker(const struct guardian *g, struct vu_guardian_end *end)
{
	pid_t worker = atomic_load(&g->shared->worker);
	int status = 0, pidfd = atomic_load(&g->shared->pidfd);
	siginfo_t info = {0};

	if (pidfd < 0) /* the guardian was killed before it could say so */
		pidfd = (int)syscall(SYS_pidfd_open, worker, 0);
	if (pidfd < 0 || wait_for(g, pidfd, true))
		(void)waitid(P_PID, (id_t)worker, &info, WEXITED | WNOWAIT);
	/* nothing comes of it while somebody traces the worker and has not reaped it: closed all the same */
	(void)waitid(P_PID, (id_t)worker, &info, WEXITED | WNOWAIT | WNOHANG);
	if (info.si_code != CLD_EXITED || vu_ledger_is_open(g->ledger)) {
		end->closing = true;
		vu_ledger_close(g->ledger, worker, &end->closed);
	}
	atomic_store(&g->shared->worker, 0);
	atomic_store(&g->shared->reaped, true);
	end->exit_code = 1;
	hurry(false);
	if (!reap(worker, &status))
		ended(end, status);
	/* it was only that its tracer was slow */
	if (!end->signal && !end->closed.moments && !end->closed.thawed)
		end->closing = false;
}

/* The guardian is a child of this process; the worker becomes one if the guardian is killed. */
static void watch_guardian(const struct guardian *g, pid_t guardian, int pidfd,
			   struct vu_guardian_end *end)
{
	int status = 0;

	(void)wait_for(g, pidfd, false);
	if (atomic_load(&g->shared->worker) == guardian) { /* it could not be split once more */
		atomic_store(&g->shared->pidfd, pidfd);
		watch_worker(g, end);
		return;
	}
	end->exit_code = 1;
	if (!reap(guardian, &status))
		ended(end, status);
	if (!end->signal || atomic_load(&g->shared->reaped))
		return;
	if (atomic_load(&g->shared->worker))
		watch_worker(g, end);
}

/* ---- the split ---- */

static int become_worker(struct guardian *g, pid_t parent, struct vu_ledger **ret_ledger)
{
	atomic_store(&g->shared->worker, getpid());
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	sigprocmask(SIG_SETMASK, &g->old, NULL);
	if (getppid() != parent)
		vu_stop_request(SIGTERM);
	*ret_ledger = g->ledger;
	return 0;
}

/* ---- once more ---- */

/* Descriptors by number. */
struct fds {
	int *v; /* owned */
	size_t n;
};

/* All that are open now, but the one that lists them. */
static int list_fds(struct fds *ret)
{
	_cleanup_closedir_ DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;

	*ret = (struct fds){0};
	while (d && (e = readdir(d))) {
		int fd = atoi(e->d_name);
		int *v = reallocarray(ret->v, ret->n + 1, sizeof(*v));

		if (!v)
			return -ENOMEM;
		ret->v = v;
		if (e->d_name[0] != '.' && fd != dirfd(d))
			ret->v[ret->n++] = fd;
	}
	return d ? 0 : -errno;
}

static bool among(const struct fds *f, int fd)
{
	size_t i = 0;

	while (i < f->n && f->v[i] != fd)
		i++;
	return i < f->n;
}

/*
 * What the worker had open is open in this table still, with its locks and leases. before: what was open before
 * it was made.
 */
static int close_left(const struct guardian *g, const struct fds *before)
{
	struct fds now;
	int r = list_fds(&now);

	for (size_t i = 0; !r && i < now.n; i++)
		if (!among(before, now.v[i]) && !g->again->keeps(g->again->arg, now.v[i]))
			close(now.v[i]);
	free(now.v);
	return r;
}

/* What could not be closed is for recovery, with which the next worker begins: it is no reason to let a guest end. */
static bool goes_on(const struct guardian *g, const struct vu_guardian_end *end, unsigned n)
{
	return g->again && end->signal && n < g->again->times;
}

/* Returns 0 in the worker; VU_GUARDIAN_ENDED; or a negative errno when it cannot be made. */
static int make_worker(struct guardian *g, struct vu_ledger **ret_ledger)
{
	int pidfd = -EBADF;
	pid_t self = getpid(), child = fork_sharing(&pidfd);

	if (!child)
		return become_worker(g, self, ret_ledger);
	if (child < 0)
		return (int)child;
	atomic_store(&g->shared->reaped, false);
	atomic_store(&g->shared->pidfd, pidfd);
	atomic_store(&g->shared->worker, child);
	return VU_GUARDIAN_ENDED;
}

static int become_guardian(struct guardian *g, pid_t parent, struct vu_ledger **ret_ledger,
			   struct vu_guardian_end *ret_end)
{
	struct fds before = {0};
	sigset_t stops;
	int r = g->again ? list_fds(&before) : 0;

	if (!r)
		r = make_worker(g, ret_ledger);
	if (r < 0) /* the front watches it instead */
		r = become_worker(g, parent, ret_ledger);
	if (!r) {
		free(before.v);
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	sigemptyset(&stops);
	sigaddset(&stops, SIGTSTP);
	sigaddset(&stops, SIGTTIN);
	sigaddset(&stops, SIGTTOU);
	sigprocmask(SIG_BLOCK, &stops, NULL);
	hurry(true);
	if (getppid() != parent)
		kill(atomic_load(&g->shared->worker), SIGTERM);
	watch_worker(g, ret_end);
	for (unsigned n = 0; goes_on(g, ret_end, n) && !close_left(g, &before); n++) {
		*ret_end = (struct vu_guardian_end){0};
		r = make_worker(g, ret_ledger);
		if (!r)
			break;
		hurry(true);
		if (r < 0) {
			ret_end->exit_code = 1;
			break;
		}
		watch_worker(g, ret_end);
	}
	free(before.v);
	return r ? VU_GUARDIAN_ENDED : 0;
}

static int open_all(struct guardian *g)
{
	struct sigaction child = {.sa_handler = SIG_DFL};
	sigset_t set;

	g->shared = mmap(NULL, sizeof(*g->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (g->shared == MAP_FAILED)
		return g->shared = NULL, -ENOMEM;
	atomic_store(&g->shared->pidfd, -EBADF);
	g->ledger = vu_ledger_new();
	if (!g->ledger)
		return -ENOMEM;
	vu_ledger_frost(g->ledger)->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vu_ledger_frost(g->ledger)->wake < 0)
		return -errno;
	signals_of(&set);
	g->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (g->signals < 0)
		return -errno;
	/* whoever started this may have it ignored, and then nobody can be waited for */
	sigaction(SIGCHLD, &child, NULL);
	return sigprocmask(SIG_BLOCK, &set, &g->old) ? -errno : 0;
}

static void close_all(struct guardian *g)
{
	vu_close_p(&g->signals);
	if (g->ledger)
		vu_close_p(&vu_ledger_frost(g->ledger)->wake);
	g->ledger = vu_ledger_free(g->ledger);
	if (g->shared)
		munmap(g->shared, sizeof(*g->shared));
}

int vu_guardian_split(const struct vu_guardian_again *again, struct vu_ledger **ret_ledger,
		      struct vu_guardian_end *ret_end)
{
	struct guardian g = {.signals = -EBADF, .again = again};
	pid_t self = getpid(), child = -1;
	int r = open_all(&g), pidfd = -EBADF;

	*ret_end = (struct vu_guardian_end){0};
	if (!r) {
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		child = fork_sharing(&pidfd);
		r = child < 0 ? (int)child : 0;
	}
	if (r) {
		if (g.signals >= 0)
			sigprocmask(SIG_SETMASK, &g.old, NULL);
		close_all(&g);
		return r;
	}
	if (!child)
		return become_guardian(&g, self, ret_ledger, ret_end);
	watch_guardian(&g, child, pidfd, ret_end);
	return VU_GUARDIAN_ENDED;
}
