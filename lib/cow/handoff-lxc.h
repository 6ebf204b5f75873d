/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LXC's way to have somebody else answer notifications (lxc.seccomp.notify.proxy; measured with 5.0.2): its monitor
 * keeps the listener, takes each notification itself, and passes it on as a message of a SOCK_SEQPACKET socket, which
 * the answer goes back to. One connection is one container. Takes messages apart and makes answers; decides nothing.
 *
 *   struct vu_lxc_header, struct seccomp_notif, struct seccomp_notif_resp, the cookie (lxc.seccomp.notify.cookie)
 *   descriptors: the process's directory in /proc, its memory, the listener
 *
 * The sizes of the kernel's two structures are in the header. The answer is the message without the cookie; LXC gives
 * its default answer, an error, to the process if one of another size comes, or for another notification.
 */
#pragma once

#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define VU_LXC_BYTES_MAX 8192 /* of a message: two structures of about 100 bytes, and the cookie */

enum vu_lxc_e {
	VU_LXC_END = 1, /* the monitor has closed the connection: the container has ended */
	VU_LXC_MALFORMED = 2,
};

struct vu_lxc_header {
	uint64_t reserved; /* 0 */
	int32_t monitor;   /* LXC's process that sends */
	int32_t init;	   /* the container's first process */
	struct seccomp_notif_sizes sizes;
	uint64_t cookie_size;
};

/* Plain values, and where in the message they are. */
struct vu_lxc_call {
	pid_t monitor, init;
	struct seccomp_notif request;
	const char *cookie; /* in the message; not terminated; any bytes */
	size_t cookie_size;
	size_t answer_at,
		answer_size; /* of the message: where the answer is, and how long it is then */
};

struct vu_lxc_message {
	struct vu_lxc_call call;
	int proc, mem, listener; /* owned */
	int64_t sent_ns;	 /* CLOCK_REALTIME, where the socket tells (SO_TIMESTAMPNS); or 0 */
	char *bytes;		 /* borrowed: where it is received, VU_LXC_BYTES_MAX of them */
};

/* Closes its descriptors. */
void vu_lxc_message_done(struct vu_lxc_message *m);

/* What this kernel's structures have. Returns 0 or a negative errno. */
int vu_lxc_sizes(struct seccomp_notif_sizes *ret);

/*
 * Receives the next message to ret->bytes, without waiting. kernel: of vu_lxc_sizes. Returns 0 with ret, which
 * the caller has done (vu_lxc_message_done); an enum vu_lxc_e; -EAGAIN: there is none yet; -EMFILE when this
 * process may not open more; or another negative errno. Otherwise than with 0 all descriptors are closed.
 */
int vu_lxc_receive(int sock, const struct seccomp_notif_sizes *kernel, struct vu_lxc_message *ret);

/*
 * Answers it: err and flags as in struct seccomp_notif_resp (0 and SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel
 * goes on with the call). Returns 0 or a negative errno (-EPIPE: the monitor has ended). Does not wait: a monitor
 * has one message under way.
 */
int vu_lxc_reply(int sock, struct vu_lxc_message *m, int err, uint32_t flags);

/* ---- the same without a socket ---- */

/* Takes a message apart. Returns 0 or VU_LXC_MALFORMED. */
int vu_lxc_parse(const char *message, size_t size, const struct seccomp_notif_sizes *kernel,
		 struct vu_lxc_call *ret);

/*
 * The same of a buffer of VU_LXC_BYTES_MAX that a message was received to, of a size that is not known any more. All
 * zeroes are no message.
 */
int vu_lxc_parse_buffer(const char *bytes, const struct seccomp_notif_sizes *kernel,
			struct vu_lxc_call *ret);

/* Makes the answer in the place of the message that c is of. Returns its size. */
size_t vu_lxc_answer(char *message, const struct vu_lxc_call *c, int err, uint32_t flags);
