/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may hand over a listener: root on the host alone. So the listening socket is where nobody else gets at it, and
 * each connection is asked who made it. Decides; closes nothing. Any thread.
 */
#pragma once

#include <sys/types.h>

enum vu_handoff_peer_e {
	VU_HANDOFF_STRANGER = 1, /* not root here, or numbers processes otherwise */
	VU_HANDOFF_OPEN = 2,	 /* others than root can connect, or put a socket in its place */
};

/*
 * Was this connection made by root in the user and the PID namespace of the caller? proc: the host's /proc. Of a
 * process that has ended since (runc may have, before anybody accepts) the user namespace cannot be told any more: it
 * was uid 0, which only who owns the host's files is among those who reach the socket. Returns 0, VU_HANDOFF_STRANGER,
 * or a negative errno. ret_pid (may be NULL), also with VU_HANDOFF_STRANGER: its number, 0 for one in a PID namespace
 * that cannot be seen.
 */
int vu_handoff_check_peer(int sock, int proc, pid_t *ret_pid);

/*
 * Is a listening socket bound to a name that only root can connect to and replace: mode 0600 (or less), root's, as are
 * all directories above, which nobody else can write to (or only add to, as in /tmp)? Returns 0, VU_HANDOFF_OPEN
 * (also for a socket without an absolute path), or a negative errno (-ENOENT: the name is gone).
 */
int vu_handoff_check_socket(int sock);
