/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/ops-cowd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/descriptors.h"
#include "base/stop.h"
#include "cow/handoff-peer.h"
#include "cow/lxc-channel.h"
#include "cow/notify.h"
#include "ops/cowd-inbox.h"
#include "ops/cowd-servers.h"
#include "ops/cowd-socket.h"
#include "ops/fd-store.h"
#include "ops/session.h"

#define PAUSE_MS 1000 /* without taking connections, when something has run out */

struct cowd {
	struct vu_ops *ops;
	const struct vu_cowd_options *o;
	struct vu_cowd_socket sockets[VU_COWD_KINDS];
	int proc, signals;	    /* owned */
	struct vu_inbox *inbox;	    /* owned */
	struct vu_servers *servers; /* owned */
	bool paused;
};

static void tell(const struct cowd *d, const char *what, const char *why)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s: %s", what, why) < 0)
		return;
	vu_emit(d->ops->sink, &(struct vu_event){.kind = VU_EVENT_WARN, .text = text});
}

/* ---- what another cowd, or the manager, has left ---- */

static void gone(const char *key)
{
	vu_fd_store_forget(key);
}

/* A listener that is to be served, with what is known of it; h->listener is taken. */
static void take_message(struct cowd *d, struct vu_handoff *h)
{
	int kept = vu_kept_new(h), r;
	struct vu_kept *about = NULL;

	if (kept < 0) {
		tell(d, h->id, strerror(-kept));
		vu_close_p(&h->listener);
		h->listener = -EBADF;
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

static void take_pair(struct cowd *d, struct vu_fd_store *store, size_t i)
{
	int kept = -EBADF, listener = -EBADF;

	for (size_t j = i; j < store->n; j++) {
		struct vu_fd_store_item *it = &store->v[j];

		if (it->fd < 0 || strcmp(it->name, store->v[i].name) != 0)
			continue;
		if (vu_notify_is_source(it->fd) && listener < 0)
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
	/*
	 * Another version's: its servers, if they live, go on with the calls that they have at hand. Which
	 * guest it is is found out again.
	 */
	if (vu_kept_check(kept) == VU_KEPT_WRONG) {
		vu_close_p(&kept);
		take_message(d, &(struct vu_handoff){.id = store->v[i].name,
						     .creating = true,
						     .listener = listener});
		vu_fd_store_forget(store->v[i].name);
		return;
	}
	int r = vu_servers_add_consume(d->servers, kept, listener);

	if (r)
		tell(d, "a container's calls cannot be answered any more",
		     strerror(r < 0 ? -r : EINVAL));
}

/* Of sockets that it passes those are taken, and no others are made. */
static bool take_socket(struct cowd *d, struct vu_fd_store_item *it)
{
	enum vu_cowd_kind kind = vu_cowd_socket_kind(it->fd);

	if (kind == VU_COWD_KINDS || d->sockets[kind].fd >= 0)
		return false;
	d->sockets[kind].fd = vu_take_fd(it->fd);
	(void)fcntl(d->sockets[kind].fd, F_SETFL, O_NONBLOCK);
	return true;
}

static int take_stored(struct cowd *d, bool *ret_sockets)
{
	struct vu_fd_store store;
	int r = vu_fd_store_take(&store);

	*ret_sockets = false;
	for (size_t i = 0; !r && i < store.n; i++) {
		if (store.v[i].fd < 0)
			continue;
		if (take_socket(d, &store.v[i]))
			*ret_sockets = true;
		else
			take_pair(d, &store, i);
	}
	vu_fd_store_done(&store);
	return r;
}

/* ---- messages and connections ---- */

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

/* It brings one message, when it is ready. */
static int take_oci(struct cowd *d, int sock, const char **ret_why)
{
	return vu_inbox_add_consume(d->inbox, sock, d->proc, ret_why);
}

/* It is a container: its calls come by this connection, until it ends. */
static int take_lxc(struct cowd *d, int sock, const char **ret_why)
{
	_cleanup_fd_ int fd = sock;
	_cleanup_free_ char *id = NULL;
	pid_t monitor;
	int r = vu_handoff_check_peer(fd, d->proc, &monitor);

	*ret_why = "the peer is not the host's root";
	if (!r)
		r = vu_lxc_channel_prepare(fd);
	if (!r && asprintf(&id, "lxc-%d", (int)monitor) < 0)
		r = -ENOMEM;
	if (r)
		return r;
	take_message(d,
		     &(struct vu_handoff){.id = id, .creating = true, .listener = vu_take_fd(fd)});
	return 0;
}

static void take_connections(struct cowd *d, enum vu_cowd_kind kind)
{
	const char *why;

	while (kind == VU_COWD_LXC || vu_inbox_has_room(d->inbox)) {
		int s = accept4(d->sockets[kind].fd, NULL, NULL, SOCK_CLOEXEC), r;

		if (s < 0) {
			if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
				return;
			d->paused = true;
			tell(d, "cannot take a connection", strerror(errno));
			return;
		}
		r = kind == VU_COWD_LXC ? take_lxc(d, s, &why) : take_oci(d, s, &why);
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

/* What is waited for when nothing has run out, and there is room. */
static int listening(const struct cowd *d, enum vu_cowd_kind kind)
{
	bool room = kind == VU_COWD_LXC || vu_inbox_has_room(d->inbox);

	return room && !d->paused ? d->sockets[kind].fd : -1;
}

static int once(struct cowd *d)
{
	struct pollfd p[1 + VU_COWD_KINDS + VU_INBOX_MAX] = {
		{.fd = d->signals, .events = POLLIN},
		{.fd = listening(d, VU_COWD_OCI), .events = POLLIN},
		{.fd = listening(d, VU_COWD_LXC), .events = POLLIN},
	};
	int ms, next = vu_servers_start(d->servers, gone);
	size_t n = vu_inbox_poll(d->inbox, p + 1 + VU_COWD_KINDS, &ms);
	bool was_paused = d->paused;

	ms = sooner(sooner(ms, next), d->paused ? PAUSE_MS : -1);
	if (poll(p, 1 + VU_COWD_KINDS + n, ms) < 0 && errno != EINTR)
		return -errno;
	if (p[0].revents)
		hear_signals(d);
	read_messages(d);
	d->paused = false;
	for (enum vu_cowd_kind k = 0; k < VU_COWD_KINDS; k++)
		if (d->sockets[k].fd >= 0 && (p[1 + k].revents || was_paused))
			take_connections(d, k);
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

static int open_sockets(struct cowd *d)
{
	const char *const paths[] = {
		[VU_COWD_OCI] = d->o->socket,
		[VU_COWD_LXC] = d->o->lxc_socket,
	};
	bool passed;
	int r = take_stored(d, &passed);

	for (enum vu_cowd_kind k = 0; !r && k < VU_COWD_KINDS; k++) {
		if (!passed)
			r = vu_cowd_socket_make(d->ops, k, paths[k], &d->sockets[k]);
		if (!r && d->sockets[k].fd >= 0)
			r = vu_cowd_socket_check(d->ops, &d->sockets[k]);
	}
	return r;
}

static int set_up(struct cowd *d)
{
	int r = block_signals(d);

	/* two for each container, and what is passed on the way */
	vu_descriptors_raise(UINT64_MAX);
	d->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	d->inbox = vu_inbox_new();
	d->servers = vu_servers_new(d->o->server);
	if (!d->inbox || !d->servers)
		return -ENOMEM;
	if (d->proc < 0)
		return -errno;
	return r ? r : open_sockets(d);
}

int vu_ops_cowd(struct vu_ops *ops, const struct vu_cowd_options *o)
{
	struct cowd d = {
		.ops = ops,
		.o = o,
		.sockets = {{-EBADF, NULL}, {-EBADF, NULL}},
		.proc = -EBADF,
		.signals = -EBADF,
	};
	int r = set_up(&d);

	if (!r)
		vu_fd_store_tell("READY=1");
	while (!r && !vu_stop_requested())
		r = once(&d);
	vu_fd_store_tell("STOPPING=1");
	for (enum vu_cowd_kind k = 0; k < VU_COWD_KINDS; k++)
		vu_cowd_socket_close(&d.sockets[k]);
	vu_servers_free(d.servers);
	vu_inbox_free(d.inbox);
	vu_close_p(&d.signals);
	vu_close_p(&d.proc);
	if (r && !ops->problem->what)
		r = vu_fail(ops, r, "cannot take listeners", NULL, NULL, NULL);
	return r ? r : VU_OPS_CANCELLED;
}
