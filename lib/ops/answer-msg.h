/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the keeper of the guard (ops/guard-cow.h) and the process that makes a guest's copies (ops/ops-answer.h)
 * send each other, over a pair of SOCK_SEQPACKET sockets. Both are the same program.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

/* Descriptors of that process, as execve(2) gives them. */
#define VU_ANSWER_FD_SOCKET 3
#define VU_ANSWER_FD_REFUSALS 4 /* the map of lsm/asks.h */

enum vu_answer_kind {
	VU_ANSWER_OPEN = 1, /* make a copy for tid, which waits; answered with the same */
	VU_ANSWER_NAMES,    /* ino has got or lost a name; 0: any may have */
};

struct vu_answer_msg {
	uint32_t kind;
	int32_t tgid, tid;
	uint32_t length; /* of path, which is sent only so far */
	uint64_t ino;
	char path[PATH_MAX]; /* relative to the guest's root; without a NUL */
};
