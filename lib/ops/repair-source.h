/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds a file that has still what a damaged object had, and puts a verified copy of it into the pool (link/slip.h),
 * with which the object can be evicted. Part of ops/verify-repair; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/identify.h"
#include "ops/verify-repair.h"

/*
 * For the object o of a pool; with r->dry_run nothing is put anywhere. Returns 1, and what the file is called in
 * ret_label (owned by the caller); 0 when there is none, and in ret_err what stood in the way of one (a negative errno,
 * or 0); or a negative errno that concerns more than one file.
 */
int vu_repair_source_find(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			  struct vu_checked *o, char **ret_label, int *ret_err);

/*
 * For who has a file that is not on the disk (yet): the size that the object had, where the catalog knows it;
 * would a file with this content and these metadata serve (1, 0, or -EIO); and the same file, open, which is
 * read, as vu_repair_source_find would take it (1, 0, or what that returns).
 */
bool vu_repair_source_size(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			   struct vu_checked *o, uint64_t *ret);
int vu_repair_source_fits(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			  struct vu_checked *o, const struct vu_digest *content, uint64_t size,
			  uint64_t mtime_ns, const struct vu_attr *attr);
int vu_repair_source_take(struct vu_repair *r, struct vu_identifier *w, size_t pool,
			  struct vu_checked *o, int fd, int *ret_err);
