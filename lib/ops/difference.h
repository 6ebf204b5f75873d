/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fact by which two files of the same content differ, in words for `why`: "0/100000",
 * "security.capability". Decides nothing: match/policy.h has said what stands between them.
 */
#pragma once

#include <stddef.h>

#include "match/policy.h"

/* One of the two files. Borrowed. */
struct vu_difference_side {
	struct vu_policy_side policy;
	int fd; /* open for reading */
};

/*
 * Says with which value a differs from b in what skip names. max_xattr_bytes bounds what is read of
 * attributes. *ret_text is malloc'ed; NULL where the skip has no value. Returns 0 or -ENOMEM.
 */
int vu_difference_text(enum vu_skip skip, const struct vu_difference_side *a,
		       const struct vu_difference_side *b, size_t max_xattr_bytes, char **ret_text);
