/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scan/entry.h"

#include "model/tree.h"

#include <linux/stat.h>
#include <sys/stat.h>

enum vu_skip vu_entry_skip(const struct vu_stat *st, const struct vu_entry_limits *l)
{
	uint64_t size = st->version.size;

	if (!size)
		return VU_SKIP_EMPTY;
	if (st->attributes & STATX_ATTR_IMMUTABLE)
		return VU_SKIP_IMMUTABLE;
	if (st->attributes & STATX_ATTR_APPEND)
		return VU_SKIP_APPEND_ONLY;
	if (st->attributes & (STATX_ATTR_VERITY | STATX_ATTR_ENCRYPTED))
		return VU_SKIP_VERITY;
	if ((st->mode & (S_ISUID | S_ISGID | S_ISVTX)) && !l->unify_setid)
		return VU_SKIP_SETID;
	if (vu_tree_links(st->n_links) == VU_LINKS_MAX || st->version.mtime_ns == VU_TIME_BEYOND)
		return VU_SKIP_LIMIT;
	if (size < l->min_size)
		return VU_SKIP_TOO_SMALL;
	return size > l->max_size ? VU_SKIP_TOO_LARGE : VU_SKIP_NONE;
}

enum vu_skip vu_entry_dir_skip(const struct vu_stat *dir)
{
	if (dir->attributes & STATX_ATTR_IMMUTABLE)
		return VU_SKIP_IMMUTABLE;
	if (dir->attributes & STATX_ATTR_APPEND)
		return VU_SKIP_APPEND_ONLY;
	return dir->version.mtime_ns == VU_TIME_BEYOND ? VU_SKIP_LIMIT : VU_SKIP_NONE;
}
