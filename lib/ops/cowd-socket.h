/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sockets that container runtimes connect to: one for listeners that OCI runtimes hand over, and one for what LXC's
 * monitors pass on. Makes them, where the service manager has not, and takes them away again. Accepts nothing.
 */
#pragma once

#include "base/cleanup.h"
#include "ops/context.h"

enum vu_cowd_kind {
	VU_COWD_OCI, /* SOCK_STREAM */
	VU_COWD_LXC, /* SOCK_SEQPACKET */
	VU_COWD_KINDS,
};

struct vu_cowd_socket {
	int fd;	    /* owned; non-blocking; -EBADF: none */
	char *path; /* owned; of one that was made here; or NULL */
};

/* Where it is, unless it is said otherwise: in the configuration's lock_dir. malloc'ed, or NULL. */
char *vu_cowd_socket_path(const struct vu_config *config, enum vu_cowd_kind kind);

/* Which one is this descriptor, by its type? VU_COWD_KINDS: no listening socket. */
enum vu_cowd_kind vu_cowd_socket_kind(int fd);

/*
 * Makes one at path, or where it is usually (NULL), with mode 0600; one that nobody listens at is replaced. ret was
 * {-EBADF, NULL}, and is to be closed in any case. Returns 0; VU_OPS_LOCKED: somebody listens there; or a negative
 * errno; both with the problem filled.
 */
int vu_cowd_socket_make(struct vu_ops *ops, enum vu_cowd_kind kind, const char *path,
			struct vu_cowd_socket *ret);

/*
 * Can nobody but root connect to it, or put another in its place? Returns 0, VU_OPS_REFUSED, or a negative errno; both
 * with the problem filled.
 */
int vu_cowd_socket_check(struct vu_ops *ops, const struct vu_cowd_socket *s);

/* Takes its name away, if it was made here, and closes it. */
void vu_cowd_socket_close(struct vu_cowd_socket *s);
