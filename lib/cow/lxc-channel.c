/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may happen to a process between the steps, and what the next one with the same slot does:
 *
 *   1. the kernel writes the message to the slot. Killed before: it is in the socket still, and another takes it.
 *   2. the answer is found. Killed before: the next one answers it. The listener that came with the message has gone
 *      with the process; the monitor has it, and a copy of it is made (pidfd_getfd(2)). If none of the monitor's knows the
 *      notification, nobody waits for it, but the monitor does.
 *   3. "answering" is set, 4. the answer is sent, 5. the message is wiped, 6. "answering" is. Killed between 3 and 5: it was
 *      sent if it is in the socket still, or the monitor has sent the next message, or nobody waits for it. Else this is
 *      not known, and the connection is shut down: what is in the socket the monitor reads first. On a busy machine
 *      one kill in ten comes between 4 and 5, for the monitor is woken there; between 3 and 4 there is next to nothing.
 *
 * When a message was sent the kernel tells, where it was asked before (SO_TIMESTAMPNS). The first ones may have come
 * before that, and have waited in the socket for any time: those are taken only if the kernel knows their notification.
 * A monitor that has waited for too long has answered it.
 */
#include "cow/lxc-channel.h"

#include <dirent.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cow/passed.h"

/* LXC waits for 30 s: what takes longer than this is not answered any more. */
#define ANSWER_NS INT64_C(25000000000)

struct vu_lxc_channel {
	int sock;
	pid_t monitor;
	struct seccomp_notif_sizes kernel;
	struct vu_lxc_slot *slot; /* borrowed */
	struct vu_lxc_slot *own;  /* owned, where none was given; or NULL */
	bool has_message;
	struct vu_lxc_message now; /* its descriptors but the listener are closed at once */
};

/* By the clock of the kernel's stamps on messages. */
static int64_t now_ns(void)
{
	return (int64_t)vu_clock_real_ns();
}

static void wipe(struct vu_lxc_channel *c)
{
	memset(c->slot->message, 0, sizeof(struct vu_lxc_header));
	atomic_store(&c->slot->answering, 0);
	atomic_store(&c->slot->sent_ns, 0);
	vu_lxc_message_done(&c->now);
	c->has_message = false;
}

static void give_up(struct vu_lxc_channel *c)
{
	(void)shutdown(c->sock, SHUT_RDWR);
	wipe(c);
}

static bool knows(int listener, uint64_t id)
{
	return !ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
}

/* ---- what was left ---- */

/* A copy of the monitor's descriptor, if it is a listener that knows the notification; or -EBADF. */
static int copy_listener(int pidfd, int number, uint64_t id)
{
	_cleanup_fd_ int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);

	return fd >= 0 && vu_passed_is_listener(fd) && knows(fd, id) ? vu_take_fd(fd) : -EBADF;
}

static bool looks_like_listener(DIR *d, const char *name)
{
	static const char start[] = "anon_inode:seccomp";
	char link[sizeof(start)];

	return readlinkat(dirfd(d), name, link, sizeof(link)) >= (ssize_t)sizeof(start) - 1 &&
	       !memcmp(link, start, sizeof(start) - 1);
}

/* There is one for the container, and one for each lxc-attach. */
static int find_listener(const struct vu_lxc_channel *c, uint64_t id)
{
	char path[32];
	_cleanup_fd_ int pidfd = (int)syscall(SYS_pidfd_open, c->monitor, 0);
	const struct dirent *e;
	int fd = -EBADF;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)c->monitor);
	DIR *d = pidfd >= 0 ? opendir(path) : NULL;

	while (d && fd < 0 && (e = readdir(d)))
		if (looks_like_listener(d, e->d_name))
			fd = copy_listener(pidfd, atoi(e->d_name), id);
	if (d)
		closedir(d);
	return fd;
}

/* The answer to what was left: is it in the socket, or has the monitor gone on behind it? */
static bool was_sent(const struct vu_lxc_channel *c)
{
	struct pollfd p = {.fd = c->sock, .events = POLLIN};
	int unread = 0;

	return (!ioctl(c->sock, SIOCOUTQ, &unread) && unread) || poll(&p, 1, 0) > 0 ||
	       c->now.listener < 0;
}

static void take_left(struct vu_lxc_channel *c)
{
	c->has_message = true;
	c->now.listener = find_listener(c, c->now.call.request.id);
	if (atomic_load(&c->slot->answering)) {
		if (was_sent(c))
			wipe(c);
		else
			give_up(c);
		return;
	}
	/* it is known, so the monitor waits */
	if (c->now.listener >= 0 && !atomic_load(&c->slot->sent_ns))
		atomic_store(&c->slot->sent_ns, now_ns());
	if (c->now.listener < 0)
		(void)vu_lxc_channel_answer(c, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

/* ---- */

bool vu_lxc_channel_is(int fd)
{
	int domain, type;
	socklen_t size = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) && domain == AF_UNIX &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET;
}

int vu_lxc_channel_prepare(int sock)
{
	const int yes = 1;

	return setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes)) ? -errno : 0;
}

static int open_channel(struct vu_lxc_channel *c, struct vu_lxc_slot *slot)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int r = vu_lxc_sizes(&c->kernel);

	if (r)
		return r;
	if (getsockopt(c->sock, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	c->monitor = peer.pid;
	c->own = slot ? NULL : calloc(1, sizeof(*c->own));
	c->slot = slot ? slot : c->own;
	if (!c->slot)
		return -ENOMEM;
	c->now.bytes = c->slot->message;
	if (vu_lxc_parse_buffer(c->now.bytes, &c->kernel, &c->now.call))
		wipe(c);
	else
		take_left(c);
	return 0;
}

int vu_lxc_channel_new(int sock, struct vu_lxc_slot *slot, struct vu_lxc_channel **ret)
{
	struct vu_lxc_channel *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->sock = sock;
	c->now.proc = c->now.mem = c->now.listener = -EBADF;
	int r = open_channel(c, slot);

	if (r)
		vu_lxc_channel_free(c);
	else
		*ret = c;
	return r;
}

struct vu_lxc_channel *vu_lxc_channel_free(struct vu_lxc_channel *c)
{
	if (!c)
		return NULL;
	vu_lxc_message_done(&c->now);
	free(c->own);
	free(c);
	return NULL;
}

const struct seccomp_notif *vu_lxc_channel_left(const struct vu_lxc_channel *c)
{
	return c->has_message ? &c->now.call.request : NULL;
}

int vu_lxc_channel_listener(const struct vu_lxc_channel *c)
{
	return c->now.listener;
}

int vu_lxc_channel_receive(struct vu_lxc_channel *c, const struct seccomp_notif **ret)
{
	struct pollfd p = {.fd = c->sock, .events = POLLIN};

	if (poll(&p, 1, -1) < 0)
		return -errno;
	int r = vu_lxc_receive(c->sock, &c->kernel, &c->now);

	if (r == -EAGAIN)
		return -ENOENT;
	c->has_message = !r;
	/* its numbers of processes have to be ours */
	if (!r && c->now.call.monitor != c->monitor)
		r = VU_LXC_MALFORMED;
	if (!r && !atomic_load(&c->slot->begun) && !knows(c->now.listener, c->now.call.request.id))
		r = -ETIMEDOUT;
	if (r) {
		give_up(c);
		return r == VU_LXC_END ? -EPIPE : r > 0 ? -EPROTO : r;
	}
	atomic_store(&c->slot->sent_ns, c->now.sent_ns ? c->now.sent_ns : now_ns());
	atomic_store(&c->slot->begun, 1);
	vu_close_p(&c->now.proc);
	vu_close_p(&c->now.mem);
	c->now.proc = c->now.mem = -EBADF;
	*ret = &c->now.call.request;
	return 0;
}

int vu_lxc_channel_answer(struct vu_lxc_channel *c, int err, uint32_t flags)
{
	int64_t sent = atomic_load(&c->slot->sent_ns);

	if (!c->has_message)
		return -ENOENT;
	/* 0: long ago */
	if (now_ns() - sent > ANSWER_NS) {
		give_up(c);
		return -ENOENT;
	}
	atomic_store(&c->slot->answering, 1);
	int r = vu_lxc_reply(c->sock, &c->now, err, flags);

	if (r)
		give_up(c);
	else
		wipe(c);
	return r == -EPIPE ? -ENOENT : r;
}
