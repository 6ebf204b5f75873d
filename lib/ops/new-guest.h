/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clone and import refuse alike before a new guest is made. */
#pragma once

#include "model/guest.h"
#include "ops/context.h"

/*
 * May a guest be made at path (absolute; base in the open directory above)? name: what it is to be called besides, or NULL
 * where that is the path's to say. known: the registered guests. Returns 0, VU_OPS_USAGE or VU_OPS_REFUSED,
 * with the reason told as vu_fail() does.
 */
int vu_new_guest_check(const struct vu_ops *ops, const struct vu_guests *known, const char *name,
		       const char *path, int above_fd, const char *base);
