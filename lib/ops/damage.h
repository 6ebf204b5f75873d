/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which objects are not what they should be, by what their inodes say: an object that is not immutable
 * while no run is at work, or whose size, mtime, mode or owner is not what the catalog recorded.
 * Contents are not read. Looks, changes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inomap.h"
#include "ops/session.h"

struct vu_damage {
	struct vu_inomap *by_fs; /* owned; damaged inodes of each file system of the session */
	size_t n_fs;
	uint64_t objects; /* how many */
};

/* Looks at all objects of the session's pools, which are open. Returns 0 or as vu_ops functions. */
int vu_damage_find(struct vu_session *s, struct vu_damage *ret);

bool vu_damage_has(const struct vu_damage *d, size_t fs, uint64_t ino);

void vu_damage_done(struct vu_damage *d);
