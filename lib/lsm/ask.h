/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guard's programs and the keeper tell each other about who wants to write (lsm/asks.h). Included by both
 * sides, so plain values only.
 */
#pragma once

#include "fs/guard.h"

#define VU_ASK_PATH 4096
#define VU_ASK_NAME 256

enum vu_ask_kind {
	VU_ASK_OPEN = 1, /* a thread is about to wait for the lease: it wants the file to itself */
	VU_ASK_NAMES, /* the file was given a further name, or another one: no path, nobody waits */
};

struct vu_ask {
	struct vu_guard_mark mark;
	uint32_t kind; /* enum vu_ask_kind */
	uint32_t tgid, tid;
	uint32_t length; /* of path */
	/* From the file up to the root of its file system: names, each ended by a NUL. As they were just then. */
	char path[VU_ASK_PATH];
};

/* Behind these functions of the kernel an open for writing comes to file_post_open. */
enum vu_ask_function {
	VU_ASK_DO_DENTRY_OPEN,
	VU_ASK_VFS_OPEN,
	VU_ASK_DO_OPEN, /* may be a part of the next */
	VU_ASK_PATH_OPENAT,
	VU_ASK_FUNCTIONS
};

/* Where its code is: begin, and behind its end. */
struct vu_ask_range {
	uint64_t begin, end;
};

/* What the next open of a file by a thread fails with. */
struct vu_ask_refusal {
	uint64_t ino;
	uint32_t tid;
	uint32_t zero;
};
