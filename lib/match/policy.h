/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May these two files share an inode? A pure function of what the key holds; the rules that concern
 * one file alone (set-id, excluded, ...) were applied where the fact was seen, as its skip. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/attr.h"
#include "model/skip.h"

struct vu_policy {
	bool mtime_exact; /* mtime belongs to the key */
};

/* What is compared of a file. Borrowed. */
struct vu_policy_side {
	const struct vu_attr *attr; /* full */
	const char *domain;
	uint64_t mtime_ns;
	uint32_t guest; /* any number that tells guests apart */
};

/*
 * The first fact that stands between two files of the same content, or VU_SKIP_NONE. Two files of one
 * guest may share a key but never an object: VU_SKIP_SAME_GUEST.
 */
enum vu_skip vu_policy_pair(const struct vu_policy *p, const struct vu_policy_side *a,
			    const struct vu_policy_side *b);
