/* SPDX-License-Identifier: GPL-2.0-or-later */
/* statx(2), as the parts of it that vunify compares. Never follows a link. Any thread. */
#pragma once

#include <stdint.h>

#include "model/attr.h"
#include "model/version.h"

struct vu_stat {
	struct vu_version version;
	uint32_t mode; /* type and permission bits */
	uint32_t uid;
	uint32_t gid;
	uint32_t n_links;
	uint64_t blocks; /* of 512 bytes */
	uint64_t atime_ns;
	uint64_t
		attributes; /* STATX_ATTR_*; IMMUTABLE, APPEND, VERITY, ENCRYPTED are of interest */
	uint64_t mount;	    /* id of the mount (5.8), 0 where the kernel does not tell */
};

/* Of the inode behind fd (O_PATH is enough). Returns 0 or a negative errno. */
int vu_stat_fd(int fd, struct vu_stat *ret);

/* Of name in dirfd, not following a link. Returns 0 or a negative errno. */
int vu_stat_at(int dirfd, const char *name, struct vu_stat *ret);

/* The bare attribute value (mode and owner) of it. */
struct vu_attr vu_stat_attr(const struct vu_stat *st);
