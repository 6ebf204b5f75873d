/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-run.h"

#include <errno.h>
#include <limits.h>
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
#include "cow/names.h"
#include "link/recover.h"
#include "ops/eviction.h"
#include "ops/farm.h"
#include "ops/ops-recover.h"
#include "ops/recovery.h"
#include "ops/session.h"

#define THREADS 2 /* that answer: one may be copying a large file */

extern char **environ;

struct vu_run_shared {
	struct vu_entered *entered;	      /* owned */
	struct vu_notify_slot slots[THREADS]; /* calls that are being answered */
};

struct running {
	struct vu_ops *ops;
	const struct vu_run_options *o;
	struct vu_session session;
	struct vu_eviction eviction; /* knows who is in which guest */
	struct vu_slip_watch watch;
	char *root;		  /* owned; path of the guest's root */
	struct vu_names *names;	  /* owned */
	struct vu_filter *filter; /* owned; NULL: nothing can be unified where the guest is */
	struct vu_live_env live_env;
	struct vu_live *live; /* owned */
	struct vu_supervisor_env supervisor_env;
	struct vu_supervisor *supervisor; /* owned */
	struct vu_run_shared *shared;	  /* owned, unless it is the caller's */
	struct vu_entered *entered;	  /* borrowed: its */
	int signals;			  /* owned: signalfd */
	sigset_t old;
	bool blocked;
	uint64_t slips;	   /* that were seen to */
	const char *doing; /* what failed while the command was started; or NULL */
};

static struct vu_pool *pool_of(const struct running *u)
{
	return u->session.fs[u->session.guest_fs[0]].pool;
}

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

/* What a run that was killed has left is put right; while a linker works, that has done it. */
static int recover(struct running *u)
{
	struct vu_recover_report report = {0};
	bool needed = false;
	int r = vu_session_find_pools(&u->session);

	for (size_t i = 0; !r && i < u->session.n_fs; i++)
		if (u->session.fs[i].pool)
			needed = needed || vu_recover_is_needed(u->session.fs[i].pool) == 1;
	if (r || !needed)
		return r;
	r = vu_ops_recover(u->ops, &(struct vu_recover_options){0}, &report);
	if (r == VU_OPS_LOCKED) {
		vu_problem_done(u->ops->problem);
		r = 0;
	}
	return r;
}

struct counting {
	struct vu_inomap n; /* names of each object in the guest */
	struct vu_names *names;
};

static int count_name(struct counting *c, uint64_t ino)
{
	uint32_t n = 0;

	vu_inomap_get(&c->n, ino, &n);
	return vu_inomap_set(&c->n, ino, n + 1);
}

static int add_name(struct counting *c, const struct vu_tree *t, const struct vu_unified_name *name)
{
	uint32_t n = 0;

	if (!vu_inomap_get(&c->n, name->ino, &n) || n < 2)
		return 0;
	_cleanup_free_ char *path = vu_tree_unified_path(t, name);

	return path ? vu_names_add(c->names, name->ino, path) : -ENOMEM;
}

/* The guest's own hard links. */
static int find_names(struct running *u)
{
	struct vu_farm farm = {0};
	struct counting c = {.names = u->names};
	int r = vu_farm_open(&farm, &u->session, 0);

	if (!r)
		r = vu_farm_walk(&farm);
	for (uint32_t i = 0; !r && i < farm.tree->unified.n; i++)
		r = count_name(&c, vu_tree_unified(farm.tree, i)->ino);
	for (uint32_t i = 0; !r && i < farm.tree->unified.n; i++)
		r = add_name(&c, farm.tree, vu_tree_unified(farm.tree, i));
	vu_inomap_done(&c.n);
	vu_farm_close(&farm);
	return r;
}

/* Where the guest's root is now: by the mount that the pool is on. */
static int read_root(struct running *u)
{
	char name[32], path[PATH_MAX];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", u->session.root_fds[0]);
	ssize_t n = readlink(name, path, sizeof(path) - 1);

	if (n < 0)
		return -errno;
	path[n] = 0;
	u->root = strdup(path);
	return u->root ? 0 : -ENOMEM;
}

static int open_session(struct running *u)
{
	char *const operands[] = {u->o->guest, NULL};

	/* nobody can be frozen while he waits for the answer to a call of his own */
	if (u->ops->config->moment == VU_MOMENT_FREEZE)
		return vu_fail(u->ops, VU_OPS_REFUSED, "cannot run a command with copy-on-write",
			       u->o->guest, "moment = freeze allows no moments under a lease alone",
			       "set moment = auto");
	int r = vu_session_open(&u->session, u->ops, VU_SESSION_NO_CATALOG, operands, 1);

	if (!r)
		r = recover(u);
	if (!r)
		r = vu_session_share_pools(&u->session);
	if (!r)
		r = read_root(u);
	if (!r)
		r = vu_eviction_open(&u->eviction, &u->session);
	return r;
}

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
	int r = vu_filter_new(0, VU_FILTER_DESCRIPTORS, &u->filter);

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
		.root = u->o->wrap ? -EBADF : u->session.root_fds[0],
		.flags = u->o->chroot_only ? VU_ENTER_CHROOT_ONLY : 0,
		.host_name = u->session.guests.v[0].name,
		.argv = u->o->argv,
		.environment = environ,
		.filter = u->filter,
	};

	int r = vu_entered_is_started(u->entered) ? 0 : vu_enter(u->entered, &how);

	u->doing = r ? vu_entered_doing(u->entered) : NULL;
	return r;
}

/* There are threads from here on, so no other process is made. */
static int open_live(struct running *u)
{
	/* who is supervised tells before he opens, so nobody is frozen for it */
	u->watch = u->eviction.watch;
	u->watch.freezer = NULL;
	u->watch.parking = NULL;
	u->live_env = (struct vu_live_env){
		.pool = pool_of(u),
		.guests = &u->session.guests,
		.root_fds = u->session.root_fds,
		.max_xattr_bytes = u->ops->config->max_xattr_bytes,
		.sink = &u->session.counting,
		.watch = &u->watch,
	};
	int r = vu_live_new(&u->live_env, &u->live);

	if (r)
		return r;
	u->supervisor_env = (struct vu_supervisor_env){
		.listener = vu_entered_listener(u->entered),
		.live = u->live,
		.pool = pool_of(u),
		.root = u->root,
		.root_fd = u->session.root_fds[0],
		.guest = 0,
		.threads = THREADS,
		.may_act = true,
		.names = u->names,
		.slots = u->shared->slots,
	};
	return vu_supervisor_new(&u->supervisor_env, &u->supervisor);
}

/* ---- while it runs ---- */

/* Somebody got an object open for writing: his is told apart from the others' at once. */
static void see_to_slips(struct running *u)
{
	struct vu_recover_report report = {0};
	struct vu_live_stats stats;

	if (!u->live)
		return;
	vu_live_stats(u->live, &stats);
	if (stats.slips == u->slips)
		return;
	u->slips = stats.slips;
	/* where a linker is at work it does that, at its end */
	(void)vu_ops_recover(u->ops, &(struct vu_recover_options){0}, &report);
	vu_problem_done(u->ops->problem);
}

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
		if (poll(p, VU_ARRAY_SIZE(p), u->live ? 1000 : -1) < 0 && errno != EINTR)
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
		see_to_slips(u);
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
		vu_emit(&u->session.counting, &(struct vu_event){.kind = VU_EVENT_WARN,
								 .guest = u->o->guest,
								 .text = text});
	}
}

static int run(struct running *u, struct vu_run_report *ret)
{
	int r = open_session(u);

	if (!r)
		r = block_signals(u);
	if (!r && pool_of(u))
		r = find_names(u);
	if (!r && pool_of(u))
		r = make_filter(u);
	if (!r)
		r = enter(u);
	if (!r && pool_of(u))
		r = open_live(u);
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
	struct running u = {.ops = ops, .o = o, .session = {.lock_fd = -EBADF}, .signals = -EBADF};
	int r;

	*ret = (struct vu_run_report){0};
	u.names = vu_names_new();
	u.shared = o->shared ? o->shared : vu_run_shared_new();
	u.entered = u.shared ? u.shared->entered : NULL;
	r = u.names && u.entered ? run(&u, ret) : -ENOMEM;
	r = explain(&u, r);
	if (u.supervisor)
		vu_supervisor_stats(u.supervisor, &ret->calls);
	vu_supervisor_free(u.supervisor);
	if (u.live)
		vu_live_stats(u.live, &ret->broken);
	vu_live_free(u.live);
	if (!o->shared)
		vu_run_shared_free(u.shared);
	vu_filter_free(u.filter);
	vu_names_free(u.names);
	free(u.root);
	if (u.blocked)
		sigprocmask(SIG_SETMASK, &u.old, NULL);
	vu_close_p(&u.signals);
	vu_eviction_close(&u.eviction);
	ret->warnings = u.session.warnings;
	ret->damages = u.session.damages;
	vu_session_close(&u.session);
	return r;
}
