/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/cowd-servers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fork.h"
#include "ops/ops-cowd.h"

#define WAIT_MS 1000 /* before the next one, when one has ended at once */

struct container {
	int kept, listener;    /* owned */
	struct vu_kept *about; /* owned */
	pid_t server;	       /* 0: none */
	int64_t due, started;  /* ms, monotonic */
};

struct vu_servers {
	char *const *command;
	struct container *v; /* owned */
	size_t n;
};

struct vu_servers *vu_servers_new(char *const *command)
{
	struct vu_servers *s = calloc(1, sizeof(*s));

	if (s)
		s->command = command;
	return s;
}

static void container_done(struct container *c)
{
	vu_kept_unmap(c->about);
	vu_close_p(&c->kept);
	vu_close_p(&c->listener);
}

struct vu_servers *vu_servers_free(struct vu_servers *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n; i++)
		container_done(&s->v[i]);
	free(s->v);
	free(s);
	return NULL;
}

/* Another process in a container that is known already. */
static void copy_guest(const struct vu_servers *s, struct vu_kept *k)
{
	for (size_t i = 0; !*k->guest && !k->pid && i < s->n; i++)
		if (!strcmp(s->v[i].about->id, k->id))
			memcpy(k->guest, s->v[i].about->guest, sizeof(k->guest));
}

int vu_servers_add_consume(struct vu_servers *s, int kept, int listener)
{
	struct container c = {.kept = kept, .listener = listener};
	struct container *v = reallocarray(s->v, s->n + 1, sizeof(*v));
	int r = v ? 0 : -ENOMEM;

	if (v)
		s->v = v;
	if (!r && s->n == VU_SERVERS_MAX)
		r = -ENOSPC;
	if (!r)
		r = vu_kept_map(kept, &c.about);
	if (r) {
		container_done(&c);
		return r;
	}
	copy_guest(s, c.about);
	s->v[s->n++] = c;
	return 0;
}

/* Only system calls; in the child. */
static void become_server(const struct vu_servers *s, const struct container *c)
{
	sigset_t none;
	/* neither may be in the other's place while they are moved */
	int listener = fcntl(c->listener, F_DUPFD, VU_COWD_FD_KEPT + 1);
	int kept = fcntl(c->kept, F_DUPFD, VU_COWD_FD_KEPT + 1);

	if (listener < 0 || kept < 0 || dup2(listener, VU_COWD_FD_LISTENER) < 0 ||
	    dup2(kept, VU_COWD_FD_KEPT) < 0)
		_exit(1);
	(void)close_range(VU_COWD_FD_KEPT + 1, ~0U, 0);
	/* a terminal's ^C is for cowd: its guests are served on */
	(void)setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* the program that is running, also when another one has been installed meanwhile */
	execv("/proc/self/exe", s->command);
	_exit(1);
}

static void start(const struct vu_servers *s, struct container *c)
{
	pid_t pid = vu_fork(0, NULL);

	if (!pid)
		become_server(s, c);
	c->started = vu_clock_ms();
	c->server = pid > 0 ? pid : 0;
	if (pid < 0)
		c->due = c->started + WAIT_MS;
}

/* Is nobody under its filter any more? */
static bool is_over(const struct container *c)
{
	struct pollfd p = {.fd = c->listener};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR | POLLNVAL);
}

int vu_servers_start(struct vu_servers *s, void (*gone)(const char *key))
{
	int64_t now = vu_clock_ms(), next = INT64_MAX;

	for (size_t i = 0; i < s->n;) {
		struct container *c = &s->v[i];

		if (!c->server && is_over(c)) {
			gone(c->about->key);
			container_done(c);
			*c = s->v[--s->n];
			continue;
		}
		if (!c->server && c->due <= now)
			start(s, c);
		if (!c->server)
			next = VU_MIN(next, c->due);
		i++;
	}
	return next == INT64_MAX ? -1 : (int)VU_MAX(next - now, 1);
}

void vu_servers_ended(struct vu_servers *s, pid_t pid)
{
	for (size_t i = 0; i < s->n; i++) {
		struct container *c = &s->v[i];

		if (c->server != pid)
			continue;
		c->server = 0;
		c->due = c->started + WAIT_MS;
		return;
	}
}
