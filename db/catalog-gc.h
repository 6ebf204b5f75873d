/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the catalog holds and nothing speaks of any more: objects that no pool has, rows of guests that are not
 * registered, contents and attributes without a file. A save leaves most of that behind, and closing the catalog
 * removes it when there is much (db/catalog.c); here it is all removed at once. No tree may be loaded from the
 * catalog that is saved afterwards. Errors: see catalog.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inomap.h"
#include "db/catalog.h"

/* The objects that a file system has. */
struct vu_catalog_pool {
	const char *fs_id;
	const struct vu_inomap *objects; /* by inode number; values are not looked at */
};

struct vu_catalog_gone {
	uint64_t objects;
	uint64_t contents;
	uint64_t attrs;
	uint64_t others; /* rows of guests and file systems that are not registered */
};

/*
 * Removes it, in one transaction. Of a file system that is not among pools the objects stay, unless no
 * guest is on it. dry_run: only counts. Returns as said in catalog.h; ret_gone is written on success.
 */
int vu_catalog_gc(struct vu_catalog *cat, bool dry_run, const struct vu_catalog_pool *pools,
		  size_t n, struct vu_catalog_gone *ret_gone);
