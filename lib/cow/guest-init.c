/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In the order of what is done:
 *
 *    first process                             command's process
 *    names, mounts
 *    fork                                      waits for the pipe
 *    own process group, only KILL, closes
 *    writes to the pipe                        process group, chroot, what it must not have
 *    waits for signals and asks                filter, capabilities
 *                                              READY with the listener, closes; waits for the pipe
 *    GO: writes to the pipe                    terminal, signals, execve
 *
 * The filter is installed before capabilities go, as it needs CAP_SYS_ADMIN; and in the command's process
 * alone. From then on this makes no call that is notified, since nobody answers yet.
 *
 * The first process has a process group of its own, so that a signal that it gets was sent to it: what the
 * terminal, or who kills a group, sends to the caller's group or to the command's is not doubled by it.
 *
 * Kernel behaviour relied on: a signal that is blocked is kept for process 1 too, though its action is the
 * default one, which process 1 is otherwise spared; when process 1 ends, all in its PID namespace is killed, and
 * its own end is told only when they have ended.
 */
#include "cow/guest-init.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "cow/confine.h"
#include "cow/guest-command.h"

int vu_init_tell(int control, enum vu_init_what what, int value, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} u = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct vu_init_message m = {what, value};
	struct iovec iov = {&m, sizeof(m)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		h.msg_control = &u;
		h.msg_controllen = sizeof(u);
		memcpy(CMSG_DATA(&u.header), &fd, sizeof(fd));
	}
	return sendmsg(control, &h, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

_Noreturn void vu_init_fail(int control, int error)
{
	(void)vu_init_tell(control, VU_INIT_FAILED, error, -EBADF);
	_exit(1);
}

int vu_init_close_others(int a, int b)
{
	unsigned low = (unsigned)VU_MIN(a, b), high = (unsigned)VU_MAX(a, b);

	if (low > 3 && close_range(3, low - 1, 0))
		return -errno;
	if (high > low + 1 && close_range(low + 1, high - 1, 0))
		return -errno;
	return close_range(high + 1, UINT_MAX, 0) ? -errno : 0;
}

/* A copy that is none of 0, 1, 2, be they closed in the caller. Returns it or a negative errno. */
static int above(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

/* ---- the first process ---- */

struct first {
	const struct vu_init *init;
	int control, signals; /* owned */
	int go;		      /* owned; of the pipe, until the command may be executed */
	pid_t command;
};

/* Of the same group have the caller and whoever waits for it stopped as well. */
static bool is_told(const struct first *f, int signo)
{
	return f->init->own_group || (signo != SIGTSTP && signo != SIGTTIN && signo != SIGTTOU);
}

/* Ends like the command. */
static _Noreturn void end_like(const struct first *f, int status)
{
	struct rlimit none = {0};
	sigset_t set;

	atomic_store(&f->init->told->status, status);
	atomic_store(&f->init->told->ended, true);
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	if (!vu_init_has_namespaces(f->init->how)) {
		setrlimit(RLIMIT_CORE, &none);
		signal(WTERMSIG(status), SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, WTERMSIG(status));
		raise(WTERMSIG(status));
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	}
	_exit(128 + WTERMSIG(status));
}

/* As wait(2) has it, of what waitid(2) tells. */
static int status_of(const siginfo_t *i)
{
	return i->si_code == CLD_EXITED ? (i->si_status & 0xff) << 8 : i->si_status & 0x7f;
}

/* Everything that has no other parent ends up here. */
static void reap(const struct first *f)
{
	for (;;) {
		siginfo_t i = {0};

		if (waitid(P_ALL, 0, &i, WEXITED | WSTOPPED | WNOHANG) || !i.si_pid)
			return;
		if (i.si_pid != f->command)
			continue;
		if (i.si_code == CLD_STOPPED) {
			if (is_told(f, i.si_status))
				(void)vu_init_tell(f->control, VU_INIT_STOPPED, i.si_status,
						   -EBADF);
		} else if (i.si_code != CLD_TRAPPED) {
			end_like(f, status_of(&i));
		}
	}
}

static void take_signals(const struct first *f)
{
	struct signalfd_siginfo s;

	while (read(f->signals, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
		if (s.ssi_signo == SIGCHLD)
			reap(f);
		else
			kill(f->command, (int)s.ssi_signo);
	}
}

/* The command, and whoever is in its group, goes on: a job is stopped and continued as a whole. */
static void resume(const struct first *f, bool foreground)
{
	pid_t group = getpgid(f->command);

	if (group > 0 && foreground)
		(void)tcsetpgrp(STDIN_FILENO, group); /* SIGTTOU is blocked */
	/* of a group outside of its PID namespace this process has no number: 0 */
	if (group > 0 && f->init->own_group)
		kill(-group, SIGCONT);
	else
		kill(f->command, SIGCONT);
}

static void take_ask(struct first *f)
{
	char what;
	ssize_t n = recv(f->control, &what, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != 1) {
		vu_close_p(&f->control);
		f->control = -EBADF;
	} else if (what != VU_INIT_GO) {
		resume(f, what == VU_INIT_FOREGROUND);
		return;
	} else if (f->go >= 0) {
		(void)!write(f->go, "", 1);
	}
	/* closed without a word: the command's process ends */
	vu_close_p(&f->go);
	f->go = -EBADF;
}

static _Noreturn void attend(struct first *f)
{
	for (;;) {
		struct pollfd p[] = {{.fd = f->signals, .events = POLLIN},
				     {.fd = f->control, .events = POLLIN}};

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents)
			take_signals(f);
		if (p[1].revents)
			take_ask(f);
	}
}

/* What it must not keep, now that the command's process has been made. */
static int settle(struct first *f)
{
	sigset_t set;
	int r;

	if (setpgid(0, 0) || chdir("/"))
		return -errno;
	r = vu_init_close_others(f->control, f->go);
	if (!r)
		r = vu_confine_first();
	if (r)
		return r;
	sigfillset(&set);
	sigdelset(&set, SIGTSTP);
	sigdelset(&set, SIGTTIN);
	sigdelset(&set, SIGTTOU);
	f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signals < 0 || write(f->go, "", 1) != 1)
		return -errno;
	return 0;
}

/* The kernel takes no longer name; a guest's may be as long as that of a file. */
static int name_host(const char *name)
{
	return sethostname(name, VU_MIN(strlen(name), (size_t)HOST_NAME_MAX)) ? -errno : 0;
}

static int set_up(const struct vu_init *init)
{
	const struct vu_enter *how = init->how;
	struct vu_init_told *told = init->told;
	int r;

	if (!vu_init_has_namespaces(how))
		return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) ? -errno : 0;
	told->doing = "cannot set the host name";
	r = name_host(how->host_name);
	if (r)
		return r;
	r = vu_guest_mounts_enter(how->root, &told->mounted);
	told->doing = told->mounted.doing;
	return r;
}

/* A pipe of which no end is 0, 1 or 2. */
static int make_pipe(int ret[static 2])
{
	int ends[2], r = 0;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	for (size_t i = 0; i < 2; i++) {
		ret[i] = above(ends[i]);
		if (ret[i] < 0)
			r = ret[i];
		close(ends[i]);
	}
	return r;
}

/* Makes the command's process. Returns 0 in the first one, or a negative errno. */
static int begin(struct first *f)
{
	pid_t self = getpid();
	int go[2] = {-EBADF, -EBADF}, r;

	f->init->told->doing = "cannot make the command's process";
	r = make_pipe(go);
	if (r)
		return r;
	f->command = vu_fork(0, NULL);
	if (f->command < 0)
		return (int)f->command;
	f->go = go[1];
	if (f->command)
		return settle(f);
	close(go[1]);
	vu_init_command(f->init, self, f->control, go[0]);
}

_Noreturn void vu_init_run(const struct vu_init *init)
{
	struct first f = {init, above(init->control), -EBADF, -EBADF, 0};
	sigset_t all;
	int r;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_NAME, "vunify-init", 0, 0, 0);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL); /* ignored, no child could be waited for */
	if (f.control < 0)
		vu_init_fail(init->control, f.control);
	close(init->control);
	/* before it is in the guest: a scan at that very time would refuse the guest for a process that has it */
	init->told->doing = "cannot drop capabilities";
	r = vu_confine_immutable();
	if (!r)
		r = set_up(init);
	if (!r)
		r = begin(&f);
	if (r)
		vu_init_fail(f.control, r);
	attend(&f);
}
