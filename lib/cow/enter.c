/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/enter.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/stop.h"
#include "cow/guest-env.h"
#include "cow/guest-init.h"

/* Shared by all supervisors. The first process has none of it: only what 'told' points to. */
struct vu_entered {
	_Atomic int control, pidfd, listener; /* owned */
	_Atomic pid_t pid;
	_Atomic bool own_group;
	_Atomic bool killable; /* the listener's wait */
	_Atomic bool lent;     /* the terminal is the command's */
	_Atomic bool went;
	struct vu_init_told *told;
};

static void *shared_new(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct vu_entered *vu_entered_new(void)
{
	struct vu_entered *e = shared_new(sizeof(*e));

	if (!e)
		return NULL;
	e->told = shared_new(sizeof(*e->told));
	if (!e->told) {
		munmap(e, sizeof(*e));
		return NULL;
	}
	e->told->doing = "cannot make a process";
	atomic_store(&e->control, -EBADF);
	atomic_store(&e->pidfd, -EBADF);
	atomic_store(&e->listener, -EBADF);
	return e;
}

static void close_one(_Atomic int *fd)
{
	int old = atomic_exchange(fd, -EBADF);

	vu_close_p(&old);
}

static void close_all(struct vu_entered *e)
{
	close_one(&e->control);
	close_one(&e->listener);
	close_one(&e->pidfd);
}

struct vu_entered *vu_entered_free(struct vu_entered *e)
{
	if (!e)
		return NULL;
	close_all(e);
	munmap(e->told, sizeof(*e->told));
	munmap(e, sizeof(*e));
	return NULL;
}

/* ---- start ---- */

/* Takes the message that all is prepared, with the listener. */
static int take_ready(struct vu_entered *e)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct vu_init_message m;
	struct iovec iov = {&m, sizeof(m)};
	struct msghdr h = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &u,
		.msg_controllen = sizeof(u),
	};
	ssize_t n = recvmsg(atomic_load(&e->control), &h, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
	int fd;

	if (n < 0)
		return -errno;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		atomic_store(&e->listener, fd);
	}
	if (n != (ssize_t)sizeof(m)) { /* nobody is left who could say why */
		e->told->doing = "was killed while preparing to execute the command";
		return -ECHILD;
	}
	atomic_store(&e->killable, m.what == VU_INIT_READY && m.value);
	return m.what == VU_INIT_READY ? 0 : m.value < 0 ? m.value : -EIO;
}

static int await_ready(struct vu_entered *e)
{
	struct pollfd p = {.fd = atomic_load(&e->control), .events = POLLIN};

	for (;;) {
		if (vu_stop_requested())
			return -ECANCELED;
		if (poll(&p, 1, -1) > 0)
			return take_ready(e);
		if (errno != EINTR)
			return -errno;
	}
}

/* Ends what was made. */
static void undo(struct vu_entered *e)
{
	int pidfd = atomic_load(&e->pidfd);
	siginfo_t info;

	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) && errno == EINTR)
		;
	close_all(e);
}

/* Is the terminal this process's group's, and no other command's in a pipeline? */
static bool has_terminal(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
	       tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static int start(struct vu_entered *e, const struct vu_enter *how, char *const *environment)
{
	uint64_t namespaces = CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;
	struct vu_init init = {how, environment, e->told, -EBADF, has_terminal()};
	int ends[2], pidfd = -EBADF;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	init.control = ends[1];
	pid_t pid = vu_fork(vu_init_has_namespaces(how) ? namespaces : 0, &pidfd);

	if (!pid) {
		munmap(e, sizeof(*e));
		close(ends[0]);
		vu_init_run(&init);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return (int)pid;
	}
	atomic_store(&e->own_group, init.own_group);
	atomic_store(&e->pid, pid);
	atomic_store(&e->pidfd, pidfd);
	atomic_store(&e->control, ends[0]);
	int r = await_ready(e);

	if (r)
		undo(e);
	return r;
}

int vu_enter(struct vu_entered *e, const struct vu_enter *how)
{
	_cleanup_free_ char **environment = NULL;
	int r = how->root < 0 ? 0 : vu_guest_env_new(how->environment, &environment);

	return r ? r : start(e, how, environment ? environment : how->environment);
}

/* ---- what it is ---- */

const char *vu_entered_doing(const struct vu_entered *e)
{
	return e->told->doing;
}

size_t vu_entered_left_out(const struct vu_entered *e, const struct vu_left_out **ret)
{
	*ret = e->told->mounted.left_out;
	return e->told->mounted.n_left_out;
}

int vu_entered_listener(const struct vu_entered *e)
{
	return atomic_load(&e->listener);
}

int vu_entered_pidfd(const struct vu_entered *e)
{
	return atomic_load(&e->pidfd);
}

int vu_entered_events(const struct vu_entered *e)
{
	return atomic_load(&e->control);
}

bool vu_entered_waits_killably(const struct vu_entered *e)
{
	return atomic_load(&e->killable);
}

pid_t vu_entered_pid(const struct vu_entered *e)
{
	return atomic_load(&e->pid);
}

bool vu_entered_own_group(const struct vu_entered *e)
{
	return atomic_load(&e->own_group);
}

/* ---- what is done with it ---- */

static int ask(struct vu_entered *e, char what)
{
	return send(atomic_load(&e->control), &what, 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

bool vu_entered_is_started(const struct vu_entered *e)
{
	return atomic_load(&e->pid) > 0 && vu_entered_pidfd(e) >= 0;
}

bool vu_entered_holds(const struct vu_entered *e, int fd)
{
	return fd >= 0 && (fd == atomic_load(&e->control) || fd == vu_entered_pidfd(e) ||
			   fd == vu_entered_listener(e));
}

int vu_enter_go(struct vu_entered *e)
{
	int r = 0;

	if (atomic_load(&e->went))
		return 0;
	atomic_store(&e->lent, vu_entered_own_group(e));
	r = ask(e, VU_INIT_GO);
	if (!r) /* killed before this: asked twice, which is as good as once */
		atomic_store(&e->went, true);
	return r;
}

int vu_entered_signal(struct vu_entered *e, int signo)
{
	return syscall(SYS_pidfd_send_signal, vu_entered_pidfd(e), signo, NULL, 0) ? -errno : 0;
}

int vu_entered_next(struct vu_entered *e, int *ret_signal)
{
	struct vu_init_message m;
	ssize_t n = recv(atomic_load(&e->control), &m, sizeof(m), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : VU_ENTERED_OVER;
	if (n != (ssize_t)sizeof(m))
		return VU_ENTERED_OVER;
	if (m.what != VU_INIT_STOPPED)
		return 0;
	*ret_signal = m.value;
	return VU_ENTERED_STOPPED;
}

void vu_entered_resume(struct vu_entered *e)
{
	bool foreground = vu_entered_own_group(e) && has_terminal();

	/* in the background again: the shell has the terminal */
	atomic_store(&e->lent, foreground);
	(void)ask(e, foreground ? VU_INIT_FOREGROUND : VU_INIT_CONTINUE);
}

void vu_entered_take_terminal(struct vu_entered *e)
{
	sigset_t output, old;

	if (!atomic_exchange(&e->lent, false))
		return;
	/* who is in the background is stopped for this, if the signal is not blocked */
	sigemptyset(&output);
	sigaddset(&output, SIGTTOU);
	sigprocmask(SIG_BLOCK, &output, &old);
	(void)tcsetpgrp(STDIN_FILENO, getpgrp());
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static struct vu_enter_end end_of(const struct vu_init_told *told)
{
	struct vu_enter_end end = {128 + SIGKILL, SIGKILL, 0};
	int status = atomic_load(&told->status);

	if (!atomic_load(&told->ended))
		return end;
	end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	end.exit_code = end.signal ? 128 + end.signal : WEXITSTATUS(status);
	end.error = atomic_load(&told->exec_error);
	return end;
}

bool vu_entered_end(struct vu_entered *e, struct vu_enter_end *ret)
{
	struct pollfd p = {.fd = vu_entered_pidfd(e), .events = POLLIN};
	siginfo_t info;

	if (poll(&p, 1, 0) <= 0)
		return false;
	(void)waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED | WNOHANG);
	*ret = end_of(e->told);
	return true;
}
