/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/handoff-lxc.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cow/passed.h"

/* As LXC has it on all architectures that there is a filter for. */
_Static_assert(sizeof(struct vu_lxc_header) == 32, "the header has no other size");

enum {
	FD_PROC,
	FD_MEM,
	FD_LISTENER,
	FD_N
};

/* ---- without a socket ---- */

/*
 * The message's sizes are the kernel's: LXC asks it, too. Later kernels may have more than is known here, none has
 * less.
 */
static bool sizes_hold(const struct seccomp_notif_sizes *s,
		       const struct seccomp_notif_sizes *kernel)
{
	return s->seccomp_notif == kernel->seccomp_notif &&
	       s->seccomp_notif_resp == kernel->seccomp_notif_resp &&
	       s->seccomp_data == kernel->seccomp_data &&
	       s->seccomp_notif >= sizeof(struct seccomp_notif) &&
	       s->seccomp_notif_resp >= sizeof(struct seccomp_notif_resp);
}

int vu_lxc_parse(const char *message, size_t size, const struct seccomp_notif_sizes *kernel,
		 struct vu_lxc_call *ret)
{
	struct vu_lxc_header h;
	struct vu_lxc_call c;

	if (size < sizeof(h) || size > VU_LXC_BYTES_MAX)
		return VU_LXC_MALFORMED;
	memcpy(&h, message, sizeof(h));
	if (h.reserved || h.monitor <= 0 || h.init <= 0 || !sizes_hold(&h.sizes, kernel))
		return VU_LXC_MALFORMED;
	c.answer_at = sizeof(h) + h.sizes.seccomp_notif;
	c.answer_size = c.answer_at + h.sizes.seccomp_notif_resp;
	if (size < c.answer_size || h.cookie_size != size - c.answer_size)
		return VU_LXC_MALFORMED;
	memcpy(&c.request, message + sizeof(h), sizeof(c.request));
	/* 0: of a thread that cannot be seen from the monitor */
	if (!c.request.pid || c.request.pid > INT32_MAX)
		return VU_LXC_MALFORMED;
	c.monitor = h.monitor;
	c.init = h.init;
	c.cookie = message + c.answer_size;
	c.cookie_size = (size_t)h.cookie_size;
	*ret = c;
	return 0;
}

int vu_lxc_parse_buffer(const char *bytes, const struct seccomp_notif_sizes *kernel,
			struct vu_lxc_call *ret)
{
	struct vu_lxc_header h;

	memcpy(&h, bytes, sizeof(h));
	size_t size = sizeof(h) + h.sizes.seccomp_notif + h.sizes.seccomp_notif_resp;

	if (size > VU_LXC_BYTES_MAX || h.cookie_size > VU_LXC_BYTES_MAX - size)
		return VU_LXC_MALFORMED;
	return vu_lxc_parse(bytes, size + (size_t)h.cookie_size, kernel, ret);
}

size_t vu_lxc_answer(char *message, const struct vu_lxc_call *c, int err, uint32_t flags)
{
	struct seccomp_notif_resp answer = {.id = c->request.id, .error = err, .flags = flags};

	memset(message + c->answer_at, 0, c->answer_size - c->answer_at);
	memcpy(message + c->answer_at, &answer, sizeof(answer));
	return c->answer_size;
}

/* ---- with one ---- */

void vu_lxc_message_done(struct vu_lxc_message *m)
{
	vu_close_p(&m->proc);
	vu_close_p(&m->mem);
	vu_close_p(&m->listener);
	m->proc = m->mem = m->listener = -EBADF;
}

int vu_lxc_sizes(struct seccomp_notif_sizes *ret)
{
	return syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, ret) ? -errno : 0;
}

static bool is_in_proc(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC;
}

int vu_lxc_receive(int sock, const struct seccomp_notif_sizes *kernel, struct vu_lxc_message *ret)
{
	vu_cleanup(vu_passed_done_p) struct vu_passed passed = {0};
	ssize_t n = vu_passed_receive(sock, ret->bytes, VU_LXC_BYTES_MAX, &passed);

	if (n == -EMSGSIZE || n == -E2BIG)
		return VU_LXC_MALFORMED;
	if (n <= 0)
		return n ? (int)n : VU_LXC_END;
	if (passed.n != FD_N || !vu_passed_is_listener(passed.fds[FD_LISTENER]) ||
	    !is_in_proc(passed.fds[FD_PROC]) || !is_in_proc(passed.fds[FD_MEM]))
		return VU_LXC_MALFORMED;
	int r = vu_lxc_parse(ret->bytes, (size_t)n, kernel, &ret->call);

	if (r)
		return r;
	ret->sent_ns = passed.sent_ns;
	ret->proc = vu_passed_take(&passed, FD_PROC);
	ret->mem = vu_passed_take(&passed, FD_MEM);
	ret->listener = vu_passed_take(&passed, FD_LISTENER);
	return 0;
}

int vu_lxc_reply(int sock, struct vu_lxc_message *m, int err, uint32_t flags)
{
	size_t size = vu_lxc_answer(m->bytes, &m->call, err, flags);
	ssize_t n;

	do
		n = send(sock, m->bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}
