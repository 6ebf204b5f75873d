/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of `vunify cowd` that is the guard (--lsm): its options, and what it does with them. */
#pragma once

#include "cmd/cmd.h"

struct vu_cowd_lsm {
	struct vu_opt_list pools;
	bool stays;
	bool off;
	bool no_copies;
};

/* Its options, in an array whose options are written to a struct type with a struct vu_cowd_lsm member. */
#define VU_COWD_LSM_OPTS(type, member)                                                             \
	{.name = "pool",                                                                           \
	 .kind = VU_OPT_LIST,                                                                      \
	 .arg = "MOUNT",                                                                           \
	 .help = "with --lsm: the pool of this file system only (more than once: of these)",       \
	 .offset = offsetof(type, member.pools)},                                                  \
		{.name = "keep",                                                                   \
		 .kind = VU_OPT_FLAG,                                                              \
		 .help = "with --lsm: at the end leave the guard in force, for the next one to "   \
			 "take over",                                                              \
		 .offset = offsetof(type, member.stays)},                                          \
		{.name = "no-copies",                                                              \
		 .kind = VU_OPT_FLAG,                                                              \
		 .help = "with --lsm: make no private copies; who opens a shared file for "        \
			 "writing is refused",                                                     \
		 .offset = offsetof(type, member.no_copies)},                                      \
	{                                                                                          \
		.name = "off", .kind = VU_OPT_FLAG,                                                \
		.help = "with --lsm: end a guard that was left in force, and do nothing else",     \
		.offset = offsetof(type, member.off)                                               \
	}

/*
 * Until a signal comes. command: what makes a guest's copies, n arguments with room for two more. Returns the
 * exit code.
 */
int vu_cowd_lsm_run(struct vu_ctx *ctx, const struct vu_cowd_lsm *given, char **command, size_t n);
