/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repairs damaged objects: finds a file that has still what the object had, proves that by computing the object's
 * name from it, and has the object evicted (link/evict.h): its names move to a new one made of a copy of that
 * file. What cannot be repaired is put in quarantine. Part of ops-verify; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ops/eviction.h"
#include "ops/verify-names.h"

struct vu_repair {
	const struct vu_verify_env *env;
	struct vu_eviction *eviction;
	struct vu_verify_names *names; /* their guests are closed when it returns */
	struct vu_checked_pool *pools;
	const struct vu_inomap
		*recorded; /* one for each pool: inode number -> number in env->tree */
	const char *const *
		from; /* NULL-terminated: files, directories, archives, images (oci:DIR[:TAG]) of the admin's; or NULL */
	bool dry_run;	      /* only say what it would do */
	uint64_t repaired;    /* written; objects (with dry_run: that would be) */
	uint64_t quarantined; /* the same */
};

/*
 * Repairs all objects that are BAD; those that were get VU_CHECKED_REPAIRED. RECOVER for each, with the file that was
 * used; DAMAGE for each that is in quarantine. Returns 0, an enum vu_ops_e, or a negative errno (-ECANCELED, -ENOSPC):
 * what is done is done, and the rest is as it was.
 */
int vu_verify_repair(struct vu_repair *r);
