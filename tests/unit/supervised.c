/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervised.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fork.h"
#include "cow/filter.h"

struct supervised now_supervised = {.listener = -EBADF, .orders = -EBADF, .answers = -EBADF};

static const struct vu_sink sink = {on_event, &seen};

static _Atomic uint32_t limited;

struct order {
	supervised_fn *fn;
	const void *arg;
	char dir[96];
};

/* ---- the process ---- */

static void end_with_test(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

static bool pivot(const char *root)
{
	return !mount(root, root, NULL, MS_BIND, NULL) && !chdir(root) &&
	       !syscall(SYS_pivot_root, ".", ".") && !umount2(".", MNT_DETACH);
}

static void enter_root(const char *root, const struct supervised_want *want)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		_exit(90);
	if (want->pivot ? !pivot(root) : chdir(root) || chroot("."))
		_exit(91);
	if (chdir("/") || mount("proc", "proc", "proc", 0, NULL))
		_exit(92);
}

static void become(const struct supervised_want *want)
{
	umask(022);
	if (want->uid && (setgroups(0, NULL) || setresgid(want->gid, want->gid, want->gid) ||
			  setresuid(want->uid, want->uid, want->uid)))
		_exit(93);
	/* forgotten with the credentials */
	end_with_test();
}

static void answer(int fd, long r)
{
	if (write(fd, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_exit(95);
}

static int install(const struct supervised_want *want, struct vu_filter *filter)
{
	const struct sock_fprog prog = {(unsigned short)filter->n, filter->insn};

	if (!want->interruptible)
		return vu_filter_install(filter, NULL);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &prog);
}

static void run(const char *root, const struct supervised_want *want, struct vu_filter *filter,
		int orders, int answers)
{
	struct order o;

	end_with_test();
	enter_root(root, want);
	int listener = install(want, filter);

	answer(answers, listener);
	/* it has been taken: here it would keep calls waiting that nobody is to answer any more */
	if (read(orders, &o, 1) != 1)
		_exit(94);
	close(listener);
	become(want);
	answer(answers, 0);
	while (read(orders, &o, sizeof(o)) == (ssize_t)sizeof(o))
		answer(answers, o.fn(o.dir, o.arg));
	_exit(0);
}

/* ---- the test ---- */

static void take_listener(struct supervised *s)
{
	long number = supervised_done(SUPERVISED_WAIT_MS);

	assert_true(number >= 0);
	int pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);

	s->listener = (int)syscall(SYS_pidfd_getfd, pidfd, (int)number, 0);
	close(pidfd);
	assert_true(s->listener >= 0);
	assert_int_equal(write(s->orders, "", 1), 1);
	assert_int_equal(supervised_done(SUPERVISED_WAIT_MS), 0);
}

static void start_process(struct supervised *s, const struct supervised_want *want)
{
	struct vu_filter *filter = NULL;
	int orders[2], answers[2];

	assert_int_equal(vu_filter_new(0, want->filter, &filter), 0);
	assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
	assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
	fflush(NULL);
	s->pid = want->pivot ? vu_fork(CLONE_NEWPID, NULL) : fork();
	assert_true(s->pid >= 0);
	if (!s->pid) {
		close(orders[1]);
		close(answers[0]);
		run(s->root, want, filter, orders[0], answers[1]);
	}
	close(orders[0]);
	close(answers[1]);
	s->orders = orders[1];
	s->answers = answers[0];
	vu_filter_free(filter);
	take_listener(s);
}

void supervised_start(struct farm *f, const struct supervised_want *want)
{
	struct supervised *s = &now_supervised;
	char *why = NULL, proc[256];

	limited = VU_LIMITED_NOBODY;
	*s = (struct supervised){.f = f, .listener = -EBADF, .orders = -EBADF, .answers = -EBADF};
	s->root = realpath(f->guests.v[SUPERVISED].path, NULL);
	assert_non_null(s->root);
	guest_path(f, SUPERVISED, "proc", proc);
	mkdir(proc, 0755);
	start_process(s, want);
	assert_int_equal(vu_pool_open(f->roots[0], VU_POOL_SHARE, &s->pool, &why), 0);
	free(why);
	s->live_env = (struct vu_live_env){
		.pool = s->pool,
		.guests = &f->guests,
		.root_fds = f->roots,
		.max_xattr_bytes = 65536,
		.sink = &sink,
	};
	assert_int_equal(vu_live_new(&s->live_env, &s->live), 0);
	s->names = vu_names_new(vu_pool_fd(s->pool), s->root,
				want->names_max ? want->names_max : VU_NAMES_MAX);
	s->env = (struct vu_supervisor_env){
		.listener = s->listener,
		.live = s->live,
		.pool = s->pool,
		.root = s->root,
		.root_fd = f->roots[SUPERVISED],
		.guest = SUPERVISED,
		.threads = want->threads,
		.may_act = !want->by_copies && !want->interruptible,
		.limited = &limited,
		.names = s->names,
	};
	if (!want->later)
		supervised_serve();
}

void supervised_serve(void)
{
	assert_int_equal(vu_supervisor_new(&now_supervised.env, &now_supervised.supervisor), 0);
}

void supervised_stop(void)
{
	now_supervised.supervisor = vu_supervisor_free(now_supervised.supervisor);
}

void supervised_order(supervised_fn *fn, const char *dir, const void *arg)
{
	struct order o = {.fn = fn, .arg = arg};

	snprintf(o.dir, sizeof(o.dir), "%s", dir);
	assert_int_equal(write(now_supervised.orders, &o, sizeof(o)), sizeof(o));
}

long supervised_done(int timeout_ms)
{
	struct pollfd p = {now_supervised.answers, POLLIN, 0};
	long r;

	if (poll(&p, 1, timeout_ms) != 1)
		return -ETIMEDOUT;
	return read(p.fd, &r, sizeof(r)) == (ssize_t)sizeof(r) ? r : -ESRCH;
}

long supervised_do(supervised_fn *fn, const char *dir, const void *arg)
{
	supervised_order(fn, dir, arg);
	return supervised_done(SUPERVISED_WAIT_MS);
}

int supervised_end(void **state)
{
	struct supervised *s = &now_supervised;

	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	supervised_stop();
	s->live = vu_live_free(s->live);
	s->pool = vu_pool_close(s->pool);
	vu_close_p(&s->listener);
	vu_close_p(&s->orders);
	vu_close_p(&s->answers);
	s->names = vu_names_free(s->names);
	free(s->root);
	*s = (struct supervised){.listener = -EBADF, .orders = -EBADF, .answers = -EBADF};
	return clean_up(state);
}
