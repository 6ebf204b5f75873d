/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalog: the SQLite file that remembers guests, directories, digests, objects and runs. A cache
 * and a history: inode facts decide, and losing it loses statistics, not data. This header opens
 * and closes it; what is in it is reached through catalog-tree.h, catalog-guest.h,
 * catalog-run.h and catalog-find.h, and replaced by catalog-rebuild.h. Called by lib/ops alone.
 *
 * All functions on a catalog return 0; VU_CATALOG_DAMAGED; or a negative errno (-ENOSPC, -EROFS,
 * -EACCES, -EIO, -ENOMEM, -EBUSY: somebody else writes it, ...). After anything but 0 the transaction
 * at hand is rolled back, and vu_catalog_message() says more. One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

enum vu_catalog_e {
	VU_CATALOG_DAMAGED = 1, /* not a catalog, malformed, or with values that cannot be; what
				   helps is vu_catalog_rebuild() */
	VU_CATALOG_FUTURE = 2,	/* written by a newer version; only vu_catalog_open() */
	VU_CATALOG_MISSING = 3, /* there is none; only vu_catalog_open() without VU_CATALOG_WRITE */
	VU_CATALOG_OLD = 4, /* of an older version, to be upgraded by opening it for writing; only
				   vu_catalog_open() without VU_CATALOG_WRITE */
};

enum vu_catalog_mode {
	VU_CATALOG_READ,  /* creates and changes nothing; works on read-only file systems */
	VU_CATALOG_WRITE, /* makes it (0600) and its directory (0700) where missing; upgrades it */
	VU_CATALOG_NOTE, /* writes a few rows beside a run that may be at work: makes, upgrades and sweeps nothing */
};

struct vu_catalog;

/*
 * Opens the catalog at path. Besides what is said above: -EISDIR and what open() says of the path.
 * ret_cat is written on success only. ret_why (may be NULL): on anything but 0 one line of English
 * that says more, owned by the caller, or NULL where the code says it all.
 */
int vu_catalog_open(const char *path, enum vu_catalog_mode mode, struct vu_catalog **ret_cat,
		    char **ret_why);

/*
 * Closes it. After writing, everything is moved into the one file, and contents that nothing refers to
 * any more are removed when there are many of them. cat is freed in any case; NULL is accepted. An
 * error says that the last step failed: what was saved is safe.
 */
int vu_catalog_close(struct vu_catalog *cat);

static inline void vu_catalog_close_p(struct vu_catalog **cat)
{
	vu_catalog_close(*cat);
}
#define _cleanup_catalog_ vu_cleanup(vu_catalog_close_p)

/* Is the file at the path still the one that was opened, so that what is written lasts? */
bool vu_catalog_is_in_place(const struct vu_catalog *cat);

/* What the last failure was about: one line, valid until the next call on cat. Never NULL. */
const char *vu_catalog_message(const struct vu_catalog *cat);

/* A number that the catalog keeps by name; 0 where it is not there. */
int vu_catalog_meta_get(struct vu_catalog *cat, const char *key, int64_t *ret_v);
int vu_catalog_meta_set(struct vu_catalog *cat, const char *key, int64_t v);
