/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one look at a regular file (statx, nothing else) says against unifying it. Pure; used by the
 * walk and by `why`, so that both say the same. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/stat.h"
#include "model/skip.h"

struct vu_entry_limits {
	uint64_t min_size; /* bytes */
	uint64_t max_size; /* bytes */
	bool unify_setid;  /* set-id and sticky files too */
};

/* The first reason, or VU_SKIP_NONE. */
enum vu_skip vu_entry_skip(const struct vu_stat *st, const struct vu_entry_limits *l);

/*
 * What the directory says against all files in it: no name in it may be replaced, or its time could not
 * be put back. Or VU_SKIP_NONE.
 */
enum vu_skip vu_entry_dir_skip(const struct vu_stat *dir);
