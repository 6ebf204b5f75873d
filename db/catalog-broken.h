/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was broken while a guest ran: paths that have private copies which no run has looked at since. A hint
 * where to look first, and no more: directories tell by their times that they have changed. Errors: see
 * catalog.h.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "db/catalog.h"

/*
 * Adds paths (relative to the guest's root; an empty one says that there are more) that were broken at a time
 * (since the epoch), in one transaction. A guest that is not there any more has none.
 */
int vu_catalog_broken_add(struct vu_catalog *cat, uint32_t guest, const char *const *paths,
			  size_t n, uint64_t ns);

/* How many are known of a guest. */
int vu_catalog_broken_count(struct vu_catalog *cat, uint32_t guest, uint64_t *ret_n);
