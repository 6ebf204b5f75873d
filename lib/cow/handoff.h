/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seccomp listener that a container runtime hands over: the message of the OCI runtime specification (1.0.2,
 * "Container Process State"; linux.seccomp.listenerPath), of which each connection has one. Decodes it; serves
 * nobody, and finds no guest (cow/handoff-guest.h). Who may send one: cow/handoff-peer.h.
 *
 * The message is a JSON object, with the descriptors that it names, and ends with the object: runtimes should close
 * the connection then, but runc 1.1.5 and crun 1.8.1 do not before they end themselves, and they may be waiting for
 * a call of the container that is to be answered. All of it is taken for hostile: it has at most 64 KiB, is UTF-8,
 * has no key twice and no NUL in a string, and what is not so is refused as a whole, its descriptors closed.
 * Names in it are any text: to be escaped where they are shown. A guest whose listener was refused, and so
 * closed, has ENOSYS from each notified call.
 *
 * Numbers of processes are the runtime's: it has to be in the same PID namespace.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define VU_HANDOFF_BYTES_MAX 65536 /* of a message */
#define VU_HANDOFF_ID_MAX 1024	   /* bytes of a container's name: runc's limit */

enum vu_handoff_e {
	VU_HANDOFF_MORE = 1,  /* the message has not ended: read again when there is something */
	VU_HANDOFF_EMPTY = 2, /* connected and closed: what crun does when it fails early */
	VU_HANDOFF_MALFORMED = 3,
};

/*
 * Of the container all is said while it is being made. With "exec", crun 1.8.1 says 0 for both numbers: then the id is
 * that of a container that has been handed over before, and whose call it is each call tells. Its bundle is not looked
 * at: it says where a configuration is, and which guest it is the root directories tell (cow/handoff-guest.h).
 */
struct vu_handoff {
	char *id;	/* owned; of the container; not empty */
	char *metadata; /* owned; what the profile says (listenerMetadata); or NULL */
	pid_t pid;  /* the process under the filter: with "exec", another than init; 0: not said */
	pid_t init; /* the container's first process; pid, where the runtime does not say */
	bool creating; /* the container is being made: its root need not be in place */
	int listener;  /* owned; of what vu_handoff_parse has made: -EBADF */
};

/* Accepts NULL, returns NULL. Closes the listener. */
struct vu_handoff *vu_handoff_free(struct vu_handoff *h);
VU_DEFINE_CLEANUP(struct vu_handoff *, vu_handoff_free)

/* ---- reading ---- */

/* One connection, read as its pieces come. */
struct vu_handoff_reader;

/* sock (borrowed) is connected. Returns NULL without memory. */
struct vu_handoff_reader *vu_handoff_reader_new(int sock);

/* Accepts NULL, returns NULL. Closes descriptors that were received and not handed over; not the socket. */
struct vu_handoff_reader *vu_handoff_reader_free(struct vu_handoff_reader *r);
VU_DEFINE_CLEANUP(struct vu_handoff_reader *, vu_handoff_reader_free)

/*
 * Reads what there is, without waiting. How long to wait for more is the caller's decision. Returns 0 with the
 * message (owned by the caller), whose listener is one; an enum vu_handoff_e; -EMFILE when this process may not open
 * more; or another negative errno (-ECONNRESET). After anything but VU_HANDOFF_MORE there is no more to read.
 */
int vu_handoff_read(struct vu_handoff_reader *r, struct vu_handoff **ret);

/* Of one that is malformed: what is wrong with it, as in "names no listener"; static. */
const char *vu_handoff_why(const struct vu_handoff_reader *r);

/* ---- decoding ---- */

/*
 * Decodes a message that came with n_fds descriptors. Returns 0, with which of them is the listener; or
 * VU_HANDOFF_MALFORMED, with what is wrong (static); or -ENOMEM.
 */
int vu_handoff_parse(const char *text, size_t size, size_t n_fds, struct vu_handoff **ret,
		     size_t *ret_listener, const char **ret_why);
