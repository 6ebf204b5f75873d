/* SPDX-License-Identifier: GPL-2.0-or-later */
/* statx(2), as the parts of it that vunify compares. Any thread. */
#pragma once

#include <stdint.h>
#include <time.h>

#include "model/attr.h"
#include "model/version.h"

/*
 * A time that is no number of nanoseconds here, whatever it is: before 1901-12-13 or after 2486-07-02, what
 * ext4 and XFS can hold. btrfs holds more. Nothing may be taken for equal, or put back, by such a one.
 */
#define VU_TIME_BEYOND (UINT64_C(16299260425) * UINT64_C(1000000000))

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

/*
 * Of the inode behind fd (O_PATH is enough). Returns 0 or a negative errno, never -ESTALE: that is an
 * answer of those who compare what they see here, and a file system that says so has failed (-EIO).
 */
int vu_stat_fd(int fd, struct vu_stat *ret);

/* Of name in dirfd, not following a link. The same. */
int vu_stat_at(int dirfd, const char *name, struct vu_stat *ret);

/*
 * When the inode of name in dirfd was made, in ns since 1970, not following a link. 0: the file system does not
 * tell. Returns 0 or a negative errno.
 */
int vu_stat_born(int dirfd, const char *name, uint64_t *ret_ns);

/* Of what name leads to: for links of /proc. The same. */
int vu_stat_follow(int dirfd, const char *name, struct vu_stat *ret);

/* A time for utimensat(2). Of VU_TIME_BEYOND: UTIME_OMIT. */
struct timespec vu_stat_timespec(uint64_t ns);

/* The bare attribute value (mode and owner) of it. */
struct vu_attr vu_stat_attr(const struct vu_stat *st);
