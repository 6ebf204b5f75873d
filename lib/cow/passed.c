/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/passed.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Linux 6.5; comes where whoever made the socket asked for it (systemd's PassPIDFD=). */
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

void vu_passed_done(struct vu_passed *p)
{
	for (size_t i = 0; i < p->n; i++)
		vu_close_p(&p->fds[i]);
	p->n = 0;
}

int vu_passed_take(struct vu_passed *p, size_t i)
{
	return vu_take_fd(p->fds[i]);
}

/* Adds those of one control message; closes what has no room. Returns 0 or -E2BIG. */
static int add(struct vu_passed *p, const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		if (c->cmsg_type == SCM_RIGHTS && p->n < VU_PASSED_MAX) {
			p->fds[p->n++] = fd;
			continue;
		}
		close(fd);
		r = c->cmsg_type == SCM_RIGHTS ? -E2BIG : r;
	}
	return r;
}

static void take_time(struct vu_passed *p, const struct cmsghdr *c)
{
	struct timespec t;

	memcpy(&t, CMSG_DATA(c), sizeof(t));
	p->sent_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

ssize_t vu_passed_receive(int sock, void *buf, size_t size, struct vu_passed *p)
{
	/* as many as there can be, and what else a socket may tell: then only a full table cuts it */
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(VU_PASSED_MAX * sizeof(int)) + 512];
	} u;
	struct iovec iov = {buf, size};
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)};
	ssize_t n;
	int r = 0;

	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			take_time(p, c);
		if (c->cmsg_level != SOL_SOCKET ||
		    (c->cmsg_type != SCM_RIGHTS && c->cmsg_type != SCM_PIDFD))
			continue;
		int s = add(p, c);

		r = r ? r : s;
	}
	if (h.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	if (h.msg_flags & MSG_TRUNC)
		return -EMSGSIZE;
	return r ? r : n;
}

bool vu_passed_is_listener(int fd)
{
	static const char name[] = "anon_inode:seccomp notify";
	char path[40], link[sizeof(name)];
	uint64_t id = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (readlink(path, link, sizeof(link)) != (ssize_t)sizeof(name) - 1 ||
	    memcmp(link, name, sizeof(name) - 1))
		return false;
	/* numbers begin anywhere (random), so that 0 is nobody's but for one case in 2^64 */
	return !ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) || errno == ENOENT;
}
