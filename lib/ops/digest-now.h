/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The digest of a guest's file as it is now: the one that the catalog has where what the inode says proves that
 * it still holds (an object's content cannot change; a private file is the one that was read, by size, mtime and
 * ctime), else by reading it, which leaves the page cache as it was. For questions: nothing is ever linked
 * because of this. Belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "fs/stat.h"
#include "link/pool-index.h"
#include "model/digest.h"
#include "ops/session.h"

enum vu_digest_now_e {
	VU_DIGEST_NOW_CHANGED =
		1, /* it is not what st says any more, or was written to while it was read */
	VU_DIGEST_NOW_HOLES, /* more than VU_CONTENT_MAX_HOLES of it are holes: it is not read */
};

struct vu_digest_now {
	struct vu_session
		*session;     /* borrowed; with the pools that there are; its catalog may be NULL */
	struct vu_hash *hash; /* owned */
	struct vu_pool_index *
		*index;	   /* owned; one for each file system, NULL where there is no pool */
	bool read_all;	   /* do not ask the catalog */
	uint64_t recorded; /* digests that came from the catalog */
	uint64_t read;	   /* files that were read */
	uint64_t read_bytes;
};

/* Returns 0 or a negative errno; d is to be freed in any case. */
int vu_digest_now_init(struct vu_digest_now *d, struct vu_session *s);
void vu_digest_now_done(struct vu_digest_now *d);

/* Is the file that st describes an object of the guest's (index in the session) pool? 1, 0 or a negative errno. */
int vu_digest_now_is_object(const struct vu_digest_now *d, size_t guest, const struct vu_stat *st);

/*
 * The digest of the regular file name in dir, which st describes; of an empty one that of no bytes. Returns 0, a
 * vu_digest_now_e, -ECANCELED, or why it could not be read: a negative errno.
 */
int vu_digest_now(struct vu_digest_now *d, size_t guest, int dir, const char *name,
		  const struct vu_stat *st, struct vu_digest *ret);
