/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/guard-cow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/descriptors.h"
#include "base/fork.h"
#include "base/stop.h"
#include "link/interrupt.h"
#include "lsm/asks.h"
#include "ops/answer-msg.h"
#include "ops/guard-farm.h"

#define RENEW_MS 10
#define IDLE_MS 300000 /* a guest's process without anything to do */
#define ENDED_MAX 5
#define WAITING_MAX 1024 /* threads of one guest that wait; more are refused */

struct waiting {
	struct vu_held *held; /* borrowed */
	uint64_t ino;
	pid_t tgid, tid;
};

/* A guest, and its process. */
struct server {
	char *root; /* owned; of the guest, as the catalog has it */
	int socket; /* owned; -EBADF: there is none */
	pid_t pid;
	int64_t used_ms;
	unsigned n_ended;  /* how many have ended by themselves since one has answered */
	bool names_unsure; /* it has not been told that names have changed */
	struct waiting *v; /* owned; WAITING_MAX */
	size_t n;
};

struct vu_guard_cow {
	struct vu_ops *ops;
	char **command;
	size_t n_command;
	struct vu_asks *asks;	    /* owned */
	int signals;		    /* owned */
	struct vu_guard_farm *farm; /* owned */
	struct vu_held **held;	    /* owned; by the index of the farm's pools */
	size_t n_held;
	struct server *v; /* owned */
	size_t n;
};

/* ---- who waits ---- */

static void refuse(const struct vu_guard_cow *c, const struct waiting *w, int err)
{
	(void)vu_ask_refuse(vu_asks_refusals(c->asks), (uint32_t)w->tid, w->ino, err);
	vu_interrupt_thread(w->tgid, w->tid);
}

static void forget(struct server *s, size_t i)
{
	vu_held_end(s->v[i].held, s->v[i].ino);
	s->v[i] = s->v[--s->n];
}

/* ---- a guest's process ---- */

/* Only system calls; in the child. */
static void become_server(struct vu_guard_cow *c, int socket)
{
	sigset_t none;
	/* neither may be in the other's place while they are moved */
	int own = fcntl(socket, F_DUPFD, VU_ANSWER_FD_REFUSALS + 1);
	int refusals = fcntl(vu_asks_refusals(c->asks), F_DUPFD, VU_ANSWER_FD_REFUSALS + 1);

	if (own < 0 || refusals < 0 || dup2(own, VU_ANSWER_FD_SOCKET) < 0 ||
	    dup2(refusals, VU_ANSWER_FD_REFUSALS) < 0)
		_exit(1);
	/* the leases among them: they are to go with the keeper */
	(void)close_range(VU_ANSWER_FD_REFUSALS + 1, ~0U, 0);
	(void)setsid(); /* a terminal's ^C is for the keeper, which ends it */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", c->command);
	_exit(1);
}

static int start(struct vu_guard_cow *c, struct server *s)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	c->command[c->n_command] = s->root;
	pid_t pid = vu_fork(0, NULL);

	if (!pid)
		become_server(c, pair[1]);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return pid;
	}
	s->socket = pair[0];
	s->pid = pid;
	s->used_ms = vu_clock_ms();
	s->names_unsure = false;
	return 0;
}

/* err 0: who waits for it looks again, and a new process is started; else that is what they are told. */
static void end(struct vu_guard_cow *c, struct server *s, int err)
{
	if (s->socket < 0)
		return;
	vu_close_p(&s->socket);
	s->socket = -EBADF;
	(void)waitpid(s->pid, NULL, 0);
	while (s->n) {
		if (err)
			refuse(c, &s->v[0], err);
		else
			vu_interrupt_thread(s->v[0].tgid, s->v[0].tid);
		forget(s, 0);
	}
}

/* It has ended by itself. Where several did so without having answered anything, the next one would, too. */
static void ended(struct vu_guard_cow *c, struct server *s)
{
	bool useless = ++s->n_ended >= ENDED_MAX;

	if (useless)
		s->n_ended = 0;
	end(c, s, useless ? -EIO : 0);
}

static int send_to(struct server *s, const struct vu_answer_msg *m)
{
	size_t size = offsetof(struct vu_answer_msg, path) + m->length;

	return send(s->socket, m, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void tell_names(struct server *s, uint64_t ino)
{
	const struct vu_answer_msg m = {.kind = VU_ANSWER_NAMES, .ino = ino};

	if (s->socket >= 0 && send_to(s, &m))
		s->names_unsure = true;
}

static void hear(struct vu_guard_cow *c, struct server *s)
{
	struct vu_answer_msg m;
	ssize_t n;

	while ((n = recv(s->socket, &m, sizeof(m), MSG_DONTWAIT)) > 0) {
		s->n_ended = 0;
		for (size_t i = 0; i < s->n; i++)
			if (s->v[i].tid == m.tid && s->v[i].ino == m.ino) {
				forget(s, i);
				break;
			}
	}
	if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
		ended(c, s);
}

/* ---- questions ---- */

static struct server *server_of(struct vu_guard_cow *c, const char *root)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->v[i].root, root))
			return &c->v[i];
	struct server *v = reallocarray(c->v, c->n + 1, sizeof(*v));
	struct server s = {.socket = -EBADF};

	if (!v)
		return NULL;
	c->v = v;
	s.root = strdup(root);
	s.v = calloc(WAITING_MAX, sizeof(*s.v));
	if (!s.root || !s.v) {
		free(s.root);
		free(s.v);
		return NULL;
	}
	v[c->n] = s;
	return &v[c->n++];
}

static int pass_on(struct vu_guard_cow *c, const char *root, const struct waiting *w,
		   const char *path)
{
	struct vu_answer_msg m = {
		.kind = VU_ANSWER_OPEN, .tgid = w->tgid, .tid = w->tid, .ino = w->ino};
	struct server *s = server_of(c, root);
	size_t length = strlen(path);

	if (!s)
		return -ENOMEM;
	if (length > sizeof(m.path))
		return -ENAMETOOLONG;
	int r = s->n == WAITING_MAX ? -EAGAIN : s->socket < 0 ? start(c, s) : 0;

	if (r)
		return r;
	if (s->names_unsure) {
		s->names_unsure = false;
		tell_names(s, 0);
	}
	m.length = (uint32_t)length;
	memcpy(m.path, path, length);
	r = s->names_unsure ? -EAGAIN : send_to(s, &m);
	if (r)
		return r;
	s->used_ms = vu_clock_ms();
	s->v[s->n++] = *w;
	vu_held_begin(w->held, w->ino);
	return 0;
}

static struct vu_held *held_of(const struct vu_guard_cow *c, const struct vu_guard_mark *mark,
			       size_t *ret)
{
	for (*ret = 0; *ret < c->n_held; ++*ret)
		if (vu_held_has(c->held[*ret], mark))
			return c->held[*ret];
	return NULL;
}

static void on_open(struct vu_guard_cow *c, const struct vu_ask *ask)
{
	_cleanup_free_ char *root = NULL, *path = NULL;
	struct waiting w = {.ino = ask->mark.ino, .tgid = (pid_t)ask->tgid, .tid = (pid_t)ask->tid};
	size_t pool;

	w.held = held_of(c, &ask->mark, &pool);
	/* it is no object any more: who waits for it is let in when its lease has gone */
	if (!w.held)
		return;
	int r = vu_guard_farm_find(c->farm, pool, ask, &root, &path);

	if (!r)
		r = pass_on(c, root, &w, path);
	if (r)
		refuse(c, &w, r == -ENOENT ? -EPERM : r);
	/* its lease is being broken, whatever came of it */
	if (r) {
		vu_held_begin(w.held, w.ino);
		vu_held_end(w.held, w.ino);
	}
}

static void on_ask(void *arg, const struct vu_ask *ask)
{
	struct vu_guard_cow *c = arg;

	if (ask->kind == VU_ASK_OPEN)
		on_open(c, ask);
	for (size_t i = 0; ask->kind == VU_ASK_NAMES && i < c->n; i++)
		tell_names(&c->v[i], ask->mark.ino);
}

/* ---- all of it ---- */

static int read_signals(struct vu_guard_cow *c)
{
	struct signalfd_siginfo v[32];
	ssize_t n = read(c->signals, v, sizeof(v));

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(*v); i++)
		for (size_t k = 0; k < c->n_held; k++) {
			if (v[i].ssi_signo == SIGIO)
				vu_held_look(c->held[k]);
			else
				vu_held_broken(c->held[k], v[i].ssi_fd);
		}
	return n < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

static bool renew(struct vu_guard_cow *c)
{
	bool more = false;

	for (size_t i = 0; i < c->n_held; i++)
		more = vu_held_renew(c->held[i]) || more;
	return more;
}

static void end_idle(struct vu_guard_cow *c)
{
	int64_t now = vu_clock_ms();

	for (size_t i = 0; i < c->n; i++)
		if (!c->v[i].n && now > c->v[i].used_ms + IDLE_MS)
			end(c, &c->v[i], 0);
}

static int wait_for(struct vu_guard_cow *c, int64_t ms)
{
	struct pollfd *p = calloc(2 + c->n, sizeof(*p));
	size_t n = c->n;

	if (!p)
		return -ENOMEM;
	p[0] = (struct pollfd){.fd = vu_asks_fd(c->asks), .events = POLLIN};
	p[1] = (struct pollfd){.fd = c->signals, .events = POLLIN};
	for (size_t i = 0; i < n; i++)
		p[2 + i] = (struct pollfd){.fd = c->v[i].socket, .events = POLLIN};
	int r = poll(p, 2 + n, (int)ms) < 0 && errno != EINTR ? -errno : 0;

	if (!r)
		r = read_signals(c);
	/* before the questions: who has been answered may ask again */
	for (size_t i = 0; !r && i < n; i++)
		if (p[2 + i].revents && c->v[i].socket >= 0)
			hear(c, &c->v[i]);
	if (!r)
		r = vu_asks_read(c->asks);
	free(p);
	return r;
}

int vu_guard_cow_serve(struct vu_guard_cow *c, int64_t ms)
{
	int64_t until = vu_clock_ms() + ms, left = ms;
	int r = vu_guard_farm_look(c->farm);

	while (!r && left > 0 && !vu_stop_requested()) {
		r = wait_for(c, renew(c) ? VU_MIN(left, RENEW_MS) : left);
		left = until - vu_clock_ms();
	}
	if (vu_asks_missed(c->asks))
		for (size_t i = 0; i < c->n; i++)
			tell_names(&c->v[i], 0);
	end_idle(c);
	return r;
}

struct vu_held *vu_guard_cow_add_pool(struct vu_guard_cow *c, const char *point, int marks)
{
	struct vu_held **v = reallocarray(c->held, c->n_held + 1, sizeof(struct vu_held *));

	if (!v)
		return NULL;
	c->held = v;
	if (vu_guard_farm_add(c->farm, point))
		return NULL;
	v[c->n_held] = vu_held_new(c->asks, marks);
	return v[c->n_held] ? v[c->n_held++] : NULL;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, VU_HELD_SIGNAL);
	sigaddset(&set, SIGIO); /* more leases were broken than signals could be queued */
	if (sigprocmask(SIG_BLOCK, &set, NULL) || signal(SIGIO, SIG_DFL) == SIG_ERR)
		return -errno;
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int vu_guard_cow_new(struct vu_ops *ops, const struct vu_lsm_asking *asking, char **command,
		     size_t n, struct vu_guard_cow **ret)
{
	struct vu_guard_cow *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct vu_guard_cow){.ops = ops, .command = command, .n_command = n};
	vu_descriptors_raise(UINT64_MAX); /* as many leases as may be */
	c->signals = open_signals();
	int r = c->signals < 0 ? c->signals : vu_guard_farm_new(ops, &c->farm);

	if (!r)
		r = vu_asks_new(asking, on_ask, c, &c->asks);
	if (r)
		vu_guard_cow_free(c);
	else
		*ret = c;
	return r;
}

struct vu_guard_cow *vu_guard_cow_free(struct vu_guard_cow *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->n; i++) {
		end(c, &c->v[i], -EPERM);
		free(c->v[i].root);
		free(c->v[i].v);
	}
	free(c->v);
	for (size_t i = 0; i < c->n_held; i++)
		vu_held_free(c->held[i]);
	free(c->held);
	vu_guard_farm_free(c->farm);
	vu_asks_free(c->asks);
	vu_close_p(&c->signals);
	free(c);
	return NULL;
}
