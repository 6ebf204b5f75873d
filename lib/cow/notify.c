/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cow/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/passed.h"

/* Linux 6.6; Debian 12's headers are older. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

struct vu_notify {
	int listener; /* borrowed; -EBADF: there is a channel */
	struct vu_lxc_channel
		*channel;	       /* owned; or NULL, and all that follows is of the listener */
	struct vu_notify_slot *slot;   /* borrowed; or NULL */
	struct seccomp_notif *request; /* in the slot; or own */
	struct seccomp_notif *own;     /* owned; or NULL */
	struct seccomp_notif_resp *answer; /* owned */
	size_t request_size, answer_size;
};

bool vu_notify_is_source(int fd)
{
	return vu_passed_is_listener(fd) || vu_lxc_channel_is(fd);
}

static int alloc_buffers(struct vu_notify *n)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		return -errno;
	/* the kernel writes as much as it knows, which may be more than is known here */
	n->request_size = VU_MAX(sizes.seccomp_notif, sizeof(*n->request));
	n->answer_size = VU_MAX(sizes.seccomp_notif_resp, sizeof(*n->answer));
	if (n->request_size > sizeof(n->slot->taken))
		n->slot = NULL;
	n->own = n->slot ? NULL : calloc(1, n->request_size);
	n->request = n->slot ? (struct seccomp_notif *)(void *)n->slot->taken : n->own;
	n->answer = calloc(1, n->answer_size);
	return n->request && n->answer ? 0 : -ENOMEM;
}

int vu_notify_new(int source, struct vu_notify_slot *slot, struct vu_notify **ret)
{
	struct vu_notify *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	n->slot = slot;
	n->listener = -EBADF;
	if (vu_lxc_channel_is(source)) {
		r = vu_lxc_channel_new(source, slot ? &slot->lxc : NULL, &n->channel);
	} else {
		n->listener = source;
		r = alloc_buffers(n);
	}
	if (r)
		vu_notify_free(n);
	else
		*ret = n;
	return r;
}

struct vu_notify *vu_notify_free(struct vu_notify *n)
{
	if (!n)
		return NULL;
	vu_lxc_channel_free(n->channel);
	free(n->own);
	free(n->answer);
	free(n);
	return NULL;
}

const struct seccomp_notif *vu_notify_left(const struct vu_notify *n)
{
	if (n->channel)
		return vu_lxc_channel_left(n->channel);
	return n->slot && n->request->id ? n->request : NULL;
}

void vu_notify_note_done(void *notify)
{
	const struct vu_notify *n = notify;
	const struct seccomp_notif *req = n->channel ? vu_lxc_channel_left(n->channel) : n->request;

	if (n->slot && req)
		atomic_store(&n->slot->done, req->id);
}

void vu_notify_note_trying(void *notify, uint64_t ino)
{
	const struct vu_notify *n = notify;

	if (!n->slot)
		return;
	atomic_store(&n->slot->tried_ino, ino);
	atomic_store(&n->slot->tried, n->request->id);
}

uint64_t vu_notify_tried(const struct vu_notify *n, uint64_t id)
{
	return n->slot && atomic_load(&n->slot->tried) == id ? atomic_load(&n->slot->tried_ino) : 0;
}

bool vu_notify_is_done(const struct vu_notify *n, uint64_t id)
{
	return n->slot && atomic_load(&n->slot->done) == id;
}

void vu_notify_sync_wake_up(int source)
{
	if (!vu_lxc_channel_is(source))
		(void)ioctl(source, SECCOMP_IOCTL_NOTIF_SET_FLAGS,
			    SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
}

int vu_notify_receive(struct vu_notify *n, const struct seccomp_notif **ret)
{
	if (n->channel)
		return vu_lxc_channel_receive(n->channel, ret);
	memset(n->request, 0, n->request_size);
	if (ioctl(n->listener, SECCOMP_IOCTL_NOTIF_RECV, n->request))
		return -errno;
	*ret = n->request;
	return 0;
}

static int listener_of(const struct vu_notify *n)
{
	return n->channel ? vu_lxc_channel_listener(n->channel) : n->listener;
}

bool vu_notify_is_valid(const struct vu_notify *n, uint64_t id)
{
	return !ioctl(listener_of(n), SECCOMP_IOCTL_NOTIF_ID_VALID, &id);
}

static int answer(struct vu_notify *n, uint64_t id, int err, uint32_t flags)
{
	int r;

	if (n->channel)
		return vu_lxc_channel_answer(n->channel, err, flags);
	memset(n->answer, 0, n->answer_size);
	n->answer->id = id;
	n->answer->error = err;
	n->answer->flags = flags;
	do
		r = ioctl(n->listener, SECCOMP_IOCTL_NOTIF_SEND, n->answer);
	while (r && errno == EINTR);
	r = r ? -errno : 0;
	n->request->id = 0;
	return r;
}

int vu_notify_continue(struct vu_notify *n, uint64_t id)
{
	return answer(n, id, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

int vu_notify_fail(struct vu_notify *n, uint64_t id, int err)
{
	return answer(n, id, err, 0);
}

int vu_notify_done(struct vu_notify *n, uint64_t id)
{
	return answer(n, id, 0, 0);
}

int vu_notify_replace_fd(const struct vu_notify *n, uint64_t id, int fd, int number, bool cloexec)
{
	struct seccomp_notif_addfd a = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)fd,
		.newfd = (uint32_t)number,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};

	return ioctl(listener_of(n), SECCOMP_IOCTL_NOTIF_ADDFD, &a) < 0 ? -errno : 0;
}
