/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keeps two equal files of two guests apart: the first reason that a scan of both would give, asked anew of the
 * files (rules, facts, metadata), and last of the catalog for what one look cannot see. Looks, changes nothing. Belongs
 * to the coordinating thread.
 */
#pragma once

#include "model/skip.h"
#include "ops/digest-now.h"
#include "ops/session.h"
#include "scan/sides.h"

struct vu_apart;

/* For the first two guests of the session, which d is of; both outlive it. Returns 0 or as vu_ops functions. */
int vu_apart_new(struct vu_session *s, const struct vu_digest_now *d, struct vu_apart **ret);

/* Accepts NULL, returns NULL. */
struct vu_apart *vu_apart_free(struct vu_apart *a);

/*
 * Why the two files, which are equal and not one inode, are so. VU_SKIP_NONE: nothing keeps them apart, so the
 * next scan will unify them. Returns 0, -ENOMEM, or why one of them could not be looked at.
 */
int vu_apart_why(struct vu_apart *a, const struct vu_sides_file *f, enum vu_skip *ret);
