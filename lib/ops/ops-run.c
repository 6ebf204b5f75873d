/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/filter.h"

extern char **environ;

struct vu_run_shared {
	struct vu_entered *entered;			    /* owned */
	struct vu_notify_slot slots[VU_SUPERVISED_THREADS]; /* calls that are being answered */
	_Atomic uint32_t limited;			    /* enum vu_limited */
};

struct running {
	struct vu_ops *ops;
	const struct vu_run_options *o;
	struct vu_supervised guest;
	struct vu_filter *filter;     /* owned; NULL: nothing can be unified where the guest is */
	struct vu_run_shared *shared; /* owned, unless it is the caller's */
	struct vu_entered *entered;   /* borrowed: its */
	int signals;		      /* owned: signalfd */
	sigset_t old;
	bool blocked;
	const char *doing; /* what failed while the command was started; or NULL */
};

struct vu_run_shared *vu_run_shared_new(void)
{
	struct vu_run_shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return NULL;
	s->entered = vu_entered_new();
	return s->entered ? s : vu_run_shared_free(s);
}

struct vu_run_shared *vu_run_shared_free(struct vu_run_shared *s)
{
	if (!s)
		return NULL;
	vu_entered_free(s->entered);
	munmap(s, sizeof(*s));
	return NULL;
}

bool vu_run_shared_holds(const struct vu_run_shared *s, int fd)
{
	return vu_entered_holds(s->entered, fd);
}

/* ---- before ---- */

static int block_signals(struct running *u)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGCONT);
	u->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (u->signals < 0)
		return -errno;
	/* stopped by the terminal is the command; this goes on answering */
	sigaddset(&set, SIGTSTP);
	sigaddset(&set, SIGTTIN);
	sigaddset(&set, SIGTTOU);
	u->blocked = !sigprocmask(SIG_BLOCK, &set, &u->old);
	return 0;
}

/* What the command is under, where something can be unified. */
static int make_filter(struct running *u)
{
	unsigned flags = VU_FILTER_LANDLOCK | (u->o->no_descriptors ? 0 : VU_FILTER_DESCRIPTORS);
	int r = vu_filter_new(0, flags, &u->filter);

	if (r == -EOPNOTSUPP)
		return vu_fail(u->ops, VU_OPS_REFUSED, "cannot supervise", u->o->guest,
			       "this machine or its kernel has no seccomp notifications that are "
			       "known here",
			       "use Linux 5.0 or later, on x86_64 or aarch64");
	return r;
}

static int enter(struct running *u)
{
	struct vu_enter how = {
		.root = u->o->wrap ? -EBADF : u->guest.session.root_fds[0],
		.flags = u->o->chroot_only ? VU_ENTER_CHROOT_ONLY : 0,
		.host_name = u->guest.session.guests.v[0].name,
		.argv = u->o->argv,
		.environment = environ,
		.filter = u->filter,
	};

	int r = vu_entered_is_started(u->entered) ? 0 : vu_enter(u->entered, &how);

	u->doing = r ? vu_entered_doing(u->entered) : NULL;
	return r;
}

/* ---- while it runs ---- */

static void pass_on(const struct running *u)
{
	struct signalfd_siginfo s;

	while (read(u->signals, &s, sizeof(s)) == sizeof(s)) {
		if (s.ssi_signo == SIGCONT)
			vu_entered_resume(u->entered);
		/* by the terminal: it has had it too, if it is in this group; else it is its own */
		else if (s.ssi_code != SI_KERNEL)
			(void)vu_entered_signal(u->entered, (int)s.ssi_signo);
	}
}

static void hear(const struct running *u)
{
	int signal, r;

	while ((r = vu_entered_next(u->entered, &signal)) == VU_ENTERED_STOPPED) {
		vu_entered_take_terminal(u->entered);
		kill(0, SIGTSTP);
	}
}

/* Until the command has ended, and whoever it has left running. */
static int supervise(struct running *u)
{
	struct pollfd p[] = {
		{.fd = vu_entered_pidfd(u->entered), .events = POLLIN},
		{.fd = vu_entered_events(u->entered), .events = POLLIN},
		{.fd = u->signals, .events = POLLIN},
		{.fd = u->filter ? vu_entered_listener(u->entered) : -1, .events = 0},
	};

	/* the listener has hung up when nobody is under its filter any more */
	while (p[0].fd >= 0 || p[3].fd >= 0) {
		if (poll(p, VU_ARRAY_SIZE(p), u->guest.live ? 1000 : -1) < 0 && errno != EINTR)
			return -errno;
		if (p[2].revents)
			pass_on(u);
		if (p[1].revents & POLLIN)
			hear(u);
		else if (p[1].revents)
			p[1].fd = -1;
		if (p[0].revents)
			p[0].fd = -1;
		if (p[3].revents & POLLHUP)
			p[3].fd = -1;
		vu_supervised_look(&u->guest);
	}
	return 0;
}

static void tell_left_out(struct running *u)
{
	const struct vu_left_out *v;
	size_t n = vu_entered_left_out(u->entered, &v);

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *text = NULL;

		if (asprintf(&text, "nothing is mounted at %s in the guest: %s", v[i].place,
			     strerror(-v[i].error)) < 0)
			return;
		vu_emit(&u->guest.session.counting, &(struct vu_event){.kind = VU_EVENT_WARN,
								       .guest = u->o->guest,
								       .text = text});
	}
}

static int run(struct running *u, struct vu_run_report *ret)
{
	int r = vu_supervised_open(&u->guest, u->ops, u->o->guest, "vunify run");
	bool unified = !r && vu_supervised_pool(&u->guest);

	if (!r)
		r = block_signals(u);
	if (!r && unified)
		r = make_filter(u);
	if (!r)
		r = enter(u);
	if (!r && unified)
		r = vu_supervised_start(&u->guest, vu_entered_listener(u->entered),
					vu_entered_waits_killably(u->entered) ? &u->shared->limited
									      : NULL,
					u->shared->slots);
	if (r)
		return r;
	tell_left_out(u);
	r = vu_enter_go(u->entered);
	ret->started = !r;
	if (!r)
		r = supervise(u);
	vu_entered_take_terminal(u->entered);
	(void)vu_entered_end(u->entered, &ret->end);
	return r;
}

static int explain(struct running *u, int r)
{
	if (r >= 0 || u->ops->problem->what)
		return r;
	return vu_fail(u->ops, r, u->doing ? u->doing : "cannot run a command in the guest",
		       u->o->guest, NULL, NULL);
}

int vu_ops_run(struct vu_ops *ops, const struct vu_run_options *o, struct vu_run_report *ret)
{
	struct running u = {.ops = ops, .o = o, .guest = VU_SUPERVISED_NONE, .signals = -EBADF};
	int r;

	*ret = (struct vu_run_report){0};
	u.shared = o->shared ? o->shared : vu_run_shared_new();
	u.entered = u.shared ? u.shared->entered : NULL;
	r = u.entered ? run(&u, ret) : -ENOMEM;
	r = explain(&u, r);
	if (u.blocked)
		sigprocmask(SIG_SETMASK, &u.old, NULL);
	vu_close_p(&u.signals);
	vu_supervised_close(&u.guest, &ret->guest);
	if (!o->shared)
		vu_run_shared_free(u.shared);
	vu_filter_free(u.filter);
	return r;
}
