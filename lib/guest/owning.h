/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a path of a guest belongs to, says the guest's own dpkg database: the packages that list it, with
 * their versions (var/lib/dpkg/status, info/NAME.list, diversions). Read as hostile text, as
 * guest/package.h says, within the same limits. What a guest writes there can only make it look as if it
 * had the packages of another one, or not: it decides whether its own files follow a template. The set is
 * read-only once made: any thread.
 *
 * A file that no package lists belongs to all packages that have anything in its directory (the nearest
 * one above it that any package lists): what a package generates (byte code, caches, locale archives)
 * is made of what lies there. Below /usr/local and /opt such a file is the admin's own, and belongs to nothing.
 */
#pragma once

#include <stdint.h>

#include "base/hash.h"
#include "model/digest.h"

struct vu_owning;

enum vu_owned {
	VU_OWNED_NOT = 0, /* by nothing, or by a package that is not completely installed */
	VU_OWNED_FILE,	  /* packages list it */
	VU_OWNED_BELOW,	  /* packages list a directory above it */
};

/*
 * Reads the database of the guest whose root is rootfd; a guest without any has nothing. Returns 0;
 * VU_PACKAGE_BROKEN (guest/package.h), with ret_why what was wrong, owned by the caller, and with bytes of
 * the guest's choice in it: nothing can be said then; or a negative errno (-ENOMEM, -EMFILE, -ENFILE).
 */
int vu_owning_read(int rootfd, uint64_t max_bytes, struct vu_owning **ret, char **ret_why);
struct vu_owning *vu_owning_free(struct vu_owning *o);

/* How many packages are installed. */
size_t vu_owning_count(const struct vu_owning *o);

/*
 * What the path (relative to the root) belongs to: two guests' digests are equal if the same packages in
 * the same versions own it in the same way. /bin, /sbin and /lib* count as what they are below /usr.
 * hash is the caller's. Returns an enum vu_owned, ret written unless it is VU_OWNED_NOT; or a negative
 * errno.
 */
int vu_owning_ask(const struct vu_owning *o, struct vu_hash *hash, const char *relpath,
		  struct vu_digest *ret);

/* All packages with their versions. Returns 0 or a negative errno. */
int vu_owning_all(const struct vu_owning *o, struct vu_hash *hash, struct vu_digest *ret);

/* ---- for tests and fuzzing: from texts in memory ---- */

struct vu_owning *vu_owning_new(void);

/* Return 0, VU_PACKAGE_BROKEN, or -ENOMEM. In this order; stem is NAME or NAME:ARCH of info/STEM.list. */
int vu_owning_add_status(struct vu_owning *o, const char *text, size_t n);
int vu_owning_add_diversions(struct vu_owning *o, const char *text, size_t n);
int vu_owning_add_list(struct vu_owning *o, const char *stem, const char *text, size_t n);
void vu_owning_sort(struct vu_owning *o);
