/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One name of an item of the breaker: exchanged with its temporary name, against a guest that replaces it at the
 * same time, and the time of its directory put back. Part of link/break-item and recovery; nobody else calls it.
 */
#pragma once

#include "link/break-item.h"

#define VU_BREAKING_TMP_MAX 64

/* The temporary name with this number; tmp has VU_BREAKING_TMP_MAX bytes. */
void vu_breaking_tmp(const struct vu_breaking *b, uint64_t n, char *tmp);

/* Which inode is at name k? 0: none, or nothing inside of the guest. Returns 0 or a negative errno. */
int vu_breaking_ino_at(const struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k,
		       uint64_t *ret_ino);

/* Is it a name of the object right now? */
bool vu_breaking_name_holds(const struct vu_breaking *b, const struct vu_breaking_item *w,
			    uint32_t k);

/*
 * Inside a moment: exchanges name k. Returns 1 when it leads to the new inode now, 0 when the guest has changed it,
 * or a negative errno.
 */
int vu_breaking_move_name(struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k);

/*
 * A name that became private where it stands: nothing in its directory has changed, so its ctime is
 * made to, or whoever remembers the directory would take the name for unified still.
 */
void vu_breaking_touch_parent(struct vu_breaking *b, const struct vu_breaking_item *w, uint32_t k);
