/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking for contents in an archive: its regular members come one after the other, those that are asked for are read
 * and shown, and nothing is made of the rest. Believes nothing of what comes, as archive/unpack.h, by whose
 * limits it goes; names lead nowhere here. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "archive/unpack.h"

struct vu_pick; /* the member at hand */

struct vu_pick_env {
	int dir; /* borrowed; root's alone: a larger member is gathered here, in a file without a name */
	bool unkept; /* there is nothing to be made of a member: no file is made */
	uint32_t max_depth;
	uint64_t max_members;
	uint64_t max_bytes;
	size_t max_xattr_bytes;
	/* Is a member of that size to be shown? */
	bool (*wants)(void *arg, uint64_t size);
	/* Shows one, with the digest that who reads it says. Returns 0, or what ends it. */
	int (*show)(void *arg, struct vu_pick *p, const struct vu_unpack_file *f);
	void *arg;
};

/*
 * Reads a stream (vu_reader.fd) to its end. Returns 0, an enum vu_unpack_e (with why, the caller's; NULL for want of
 * memory), -ECANCELED, or what show returned. *ret_members: how many came.
 */
int vu_pick_each(const struct vu_pick_env *env, int stream, uint64_t *ret_members, char **ret_why);

/*
 * While it is shown: the member as an open file without a name (O_RDWR), with owner, mode, attributes and time. Returns
 * the fd (the caller's), VU_UNPACK_REFUSED as -EINVAL where the attributes cannot be kept there, or a negative errno.
 */
int vu_pick_make(struct vu_pick *p);
