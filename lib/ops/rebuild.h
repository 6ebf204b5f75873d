/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new catalog for one that cannot be used, and what the user is told of it. */
#pragma once

#include "ops/session.h"

/* What to do about a catalog that cannot be used. */
#define VU_REBUILD_TODO                                                                               \
	"`vunify recover --rebuild-catalog` makes a new one, keeps the guests that it can read, and " \
	"sets the old file aside"

/*
 * Replaces the catalog of a session that holds its lock and has not opened it; dry_run: only says what
 * would be kept. Guests that are lost are told as warnings. Returns 0, or as vu_session_open.
 */
int vu_rebuild_catalog(struct vu_session *s, bool dry_run);
