/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is an open file what an object's name says? Part of recovery; also for checking pools, where one
 * struct vu_identifier serves any number of files. An identifier belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"
#include "fs/stat.h"
#include "model/key.h"
#include "model/progress.h"

struct vu_identifier {
	struct vu_hash *hash;	      /* owned */
	void *buf;		      /* owned */
	const char *const *domains;   /* borrowed; NULL-terminated: that keys may be of; or NULL */
	struct vu_progress *progress; /* borrowed; bytes; or NULL */
	bool stops;		      /* ends with -ECANCELED when a stop is asked for */
};

/* For a zeroed or filled one, of which hash and buf are made. Returns 0 or -ENOMEM; _done in any case. */
int vu_identifier_init(struct vu_identifier *w);
void vu_identifier_done(struct vu_identifier *w);

/*
 * Reads and hashes the file, which is what st says, and compares with key for every domain (w->domains; ""
 * is implied; extra may be NULL) and with and without mtime. ret_attr (full) and ret_content are what it
 * was; both are written when it returns 1 or 0. Returns 1 or 0, -E2BIG for xattrs above the limit, or
 * another negative errno.
 */
int vu_identify_with(struct vu_identifier *w, int fd, const struct vu_key *key, const char *extra,
		     size_t max_xattr_bytes, const struct vu_stat *st, struct vu_attr *ret_attr,
		     struct vu_digest *ret_content);

/* Does a file of this content, size, mtime and attributes (full) have the key? 1 or 0, or -EIO. */
int vu_identify_value(struct vu_identifier *w, const struct vu_key *key, const char *extra,
		      const struct vu_digest *content, uint64_t size, uint64_t mtime_ns,
		      const struct vu_attr *attr);

/* Digest of the first size bytes of an open file, leaving the page cache alone. 0 or a negative errno. */
int vu_identify_content(struct vu_identifier *w, int fd, uint64_t size, struct vu_digest *ret);

/* vu_identify_with for a single file; 0 for xattrs above the limit. */
int vu_identify(int fd, const struct vu_key *key, const char *const *domains, const char *extra,
		size_t max_xattr_bytes, struct vu_stat *ret_st, struct vu_attr *ret_attr);
