/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-cowd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "cow/handoff-peer.h"
#include "cow/passed.h"
#include "ops/cowd-inbox.h"
#include "ops/cowd-servers.h"
#include "ops/fd-store.h"
#include "ops/session.h"

#define PAUSE_MS 1000 /* without taking connections, when something has run out */

struct cowd {
	struct vu_ops *ops;
	const struct vu_cowd_options *o;
	char *path;		      /* owned; of the socket, if it was made here */
	int listening, proc, signals; /* owned */
	struct vu_inbox *inbox;	      /* owned */
	struct vu_servers *servers;   /* owned */
	bool paused;
};

char *vu_cowd_socket(const struct vu_config *config)
{
	char *path;

	return asprintf(&path, "%s/cowd.sock", config->lock_dir) < 0 ? NULL : path;
}

static void tell(const struct cowd *d, const char *what, const char *why)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s: %s", what, why) < 0)
		return;
	vu_emit(d->ops->sink, &(struct vu_event){.kind = VU_EVENT_WARN, .text = text});
}

/* ---- what runtimes connect to ---- */

static int fail_socket(const struct cowd *d, int r, const char *why, const char *todo)
{
	return vu_fail(d->ops, r, "cannot listen",
		       d->path ? d->path : "the service manager's socket", why, todo);
}

/* A socket that nobody listens at was left by one that was killed. */
static int remove_stale(const struct cowd *d, const struct sockaddr_un *a)
{
	_cleanup_fd_ int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (s < 0)
		return -errno;
	if (lstat(d->path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (!connect(s, (const struct sockaddr *)a, sizeof(*a)))
		return VU_OPS_LOCKED;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(d->path) && errno != ENOENT ? -errno : 0;
}

static int make_socket(struct cowd *d)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int r;

	d->path = d->o->socket ? strdup(d->o->socket) : vu_cowd_socket(d->ops->config);
	if (!d->path)
		return -ENOMEM;
	if (strlen(d->path) >= sizeof(a.sun_path))
		return fail_socket(d, -ENAMETOOLONG, NULL, "name a path of at most 107 bytes");
	strcpy(a.sun_path, d->path);
	if (!d->o->socket && mkdir(d->ops->config->lock_dir, 0755) && errno != EEXIST)
		return fail_socket(d, -errno, NULL, NULL);
	r = remove_stale(d, &a);
	if (r)
		return fail_socket(d, r, r > 0 ? "another vunify cowd listens there" : NULL,
				   r > 0 ? "end it first" : NULL);
	d->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->listening < 0)
		return -errno;
	mode_t old = umask(0177);

	r = bind(d->listening, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
	umask(old);
	if (r || listen(d->listening, VU_INBOX_MAX))
		return fail_socket(d, r ? r : -errno, NULL, NULL);
	return 0;
}

/* ---- what another cowd, or the manager, has left ---- */

static void gone(const char *key)
{
	vu_fd_store_forget(key);
}

static void take_pair(struct cowd *d, struct vu_fd_store *store, size_t i)
{
	int kept = -EBADF, listener = -EBADF;

	for (size_t j = i; j < store->n; j++) {
		struct vu_fd_store_item *it = &store->v[j];

		if (it->fd < 0 || strcmp(it->name, store->v[i].name) != 0)
			continue;
		if (vu_passed_is_listener(it->fd) && listener < 0)
			listener = vu_take_fd(it->fd);
		else if (kept < 0)
			kept = vu_take_fd(it->fd);
	}
	/* the manager closes listeners that nobody is under any more, and keeps the rest */
	if (kept < 0 || listener < 0) {
		vu_close_p(&kept);
		vu_close_p(&listener);
		vu_fd_store_forget(store->v[i].name);
		return;
	}
	int r = vu_servers_add_consume(d->servers, kept, listener);

	if (r)
		tell(d, "a container's calls cannot be answered any more",
		     r > 0 ? "another version of vunify has left them" : strerror(-r));
}

static bool is_listening(int fd)
{
	int yes = 0;
	socklen_t size = sizeof(yes);

	return !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &size) && yes;
}

static int take_stored(struct cowd *d)
{
	struct vu_fd_store store;
	int r = vu_fd_store_take(&store);

	for (size_t i = 0; !r && i < store.n; i++)
		if (is_listening(store.v[i].fd) && d->listening < 0)
			d->listening = vu_take_fd(store.v[i].fd);
		else if (store.v[i].fd >= 0)
			take_pair(d, &store, i);
	vu_fd_store_done(&store);
	if (d->listening >= 0)
		(void)fcntl(d->listening, F_SETFL, O_NONBLOCK);
	return r;
}

/* ---- messages ---- */

static void take_message(struct cowd *d, struct vu_handoff *h)
{
	int kept = vu_kept_new(h), r;
	struct vu_kept *about = NULL;

	if (kept < 0) {
		tell(d, h->id, strerror(-kept));
		return;
	}
	r = vu_kept_map(kept, &about);
	if (!r)
		r = vu_fd_store_put(about->key, (int[]){h->listener, kept}, 2);
	if (r && r != -ENOTCONN)
		tell(d, "the service manager holds no descriptors", strerror(r < 0 ? -r : EINVAL));
	r = vu_servers_add_consume(d->servers, kept, vu_take_fd(h->listener));
	if (r) {
		tell(d, h->id, strerror(r < 0 ? -r : EINVAL));
		if (about)
			vu_fd_store_forget(about->key);
	}
	vu_kept_unmap(about);
}

static void read_messages(struct cowd *d)
{
	vu_cleanup(vu_handoff_free_p) struct vu_handoff *h = NULL;
	const char *why;
	int r;

	while ((r = vu_inbox_next(d->inbox, &h, &why)) != VU_INBOX_NOTHING) {
		if (!r)
			take_message(d, h);
		else
			tell(d,
			     "a message of a container runtime is refused, and its listener closed",
			     r > 0 ? why : strerror(-r));
		h = vu_handoff_free(h);
	}
}

static void take_connections(struct cowd *d)
{
	const char *why;

	d->paused = false;
	while (vu_inbox_has_room(d->inbox)) {
		int s = accept4(d->listening, NULL, NULL, SOCK_CLOEXEC), r;

		if (s < 0) {
			d->paused = errno != EAGAIN && errno != ECONNABORTED && errno != EINTR;
			if (d->paused)
				tell(d, "cannot take a connection", strerror(errno));
			return;
		}
		r = vu_inbox_add_consume(d->inbox, s, d->proc, &why);
		if (r)
			tell(d, "a connection is refused", r > 0 ? why : strerror(-r));
	}
}

/* ---- the loop ---- */

static void hear_signals(struct cowd *d)
{
	struct signalfd_siginfo s;
	pid_t pid;

	while (read(d->signals, &s, sizeof(s)) == sizeof(s))
		if (s.ssi_signo != SIGCHLD)
			vu_stop_request((int)s.ssi_signo);
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		vu_servers_ended(d->servers, pid);
}

static int sooner(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : VU_MIN(a, b);
}

static int once(struct cowd *d)
{
	struct pollfd p[2 + VU_INBOX_MAX] = {
		{.fd = d->signals, .events = POLLIN},
		{.fd = vu_inbox_has_room(d->inbox) && !d->paused ? d->listening : -1,
		 .events = POLLIN},
	};
	int ms, next = vu_servers_start(d->servers, gone);
	size_t n = vu_inbox_poll(d->inbox, p + 2, &ms);

	ms = sooner(sooner(ms, next), d->paused ? PAUSE_MS : -1);
	if (poll(p, 2 + n, ms) < 0 && errno != EINTR)
		return -errno;
	if (p[0].revents)
		hear_signals(d);
	read_messages(d);
	if (p[1].revents || d->paused)
		take_connections(d);
	return 0;
}

static int block_signals(struct cowd *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signals < 0 || sigprocmask(SIG_BLOCK, &set, NULL) ? -errno : 0;
}

/* Two for each container, and what is passed on the way. */
static void raise_limit(void)
{
	struct rlimit l;

	if (!getrlimit(RLIMIT_NOFILE, &l)) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

static int set_up(struct cowd *d)
{
	int r = block_signals(d);

	raise_limit();
	d->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	d->inbox = vu_inbox_new();
	d->servers = vu_servers_new(d->o->server);
	if (!d->inbox || !d->servers)
		return -ENOMEM;
	if (d->proc < 0)
		return -errno;
	r = r ? r : take_stored(d);
	if (!r && d->listening < 0)
		r = make_socket(d);
	if (r)
		return r;
	r = vu_handoff_check_socket(d->listening);
	if (r)
		r = fail_socket(d, r > 0 ? VU_OPS_REFUSED : r,
				r > 0 ? "others than root can connect to it, or replace it" : NULL,
				"have the socket 0600, and its directories root's");
	return r;
}

int vu_ops_cowd(struct vu_ops *ops, const struct vu_cowd_options *o)
{
	struct cowd d = {
		.ops = ops, .o = o, .listening = -EBADF, .proc = -EBADF, .signals = -EBADF};
	int r = set_up(&d);

	if (!r)
		vu_fd_store_tell("READY=1");
	while (!r && !vu_stop_requested())
		r = once(&d);
	vu_fd_store_tell("STOPPING=1");
	if (d.path && d.listening >= 0)
		(void)unlink(d.path);
	vu_servers_free(d.servers);
	vu_inbox_free(d.inbox);
	vu_close_p(&d.signals);
	vu_close_p(&d.proc);
	vu_close_p(&d.listening);
	free(d.path);
	if (r && !ops->problem->what)
		r = vu_fail(ops, r, "cannot take listeners", NULL, NULL, NULL);
	return r ? r : VU_OPS_CANCELLED;
}
