/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new catalog in the place of one that cannot be used: the guests are kept as far as their rows can
 * be proven, everything else is a cache or a history, and learned again. The old file is set aside,
 * never removed. Called by lib/ops alone, under the catalog's lock.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"
#include "model/guest.h"

struct vu_catalog_rebuilt {
	struct vu_guests kept; /* owned; registered in the new catalog, by their names and roots */
	struct vu_guests
		unproven; /* owned; read, but the row's seal does not fit: not registered */
	bool some_lost;	  /* there may be guests besides that could not be read */
	char *aside;	  /* owned; where the old file went; NULL: there was none */
};

/*
 * Replaces the file at path, which may be missing, by a new catalog; dry_run: only says which guests
 * would be kept. Killed at any instant there is a file at path, the old or the new one (where the file
 * system cannot exchange names: or none, with both beside it). Returns 0; -EISDIR or -EINVAL for what
 * is no regular file, which is left alone; or a negative errno: nothing was changed then. ret is to be
 * freed by vu_catalog_rebuilt_done.
 */
int vu_catalog_rebuild(const char *path, bool dry_run, struct vu_catalog_rebuilt *ret);

/* Frees what r owns. Accepts a zeroed struct. */
void vu_catalog_rebuilt_done(struct vu_catalog_rebuilt *r);
VU_DEFINE_CLEANUP_DONE(struct vu_catalog_rebuilt, vu_catalog_rebuilt_done)
