/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a tar archive in the pax format, with all that a root tree has: numbers of owners, times in
 * nanoseconds, extended attributes, ACLs, holes, devices, hard links. GNU tar and bsdtar read it. Names
 * are bytes: what is no UTF-8 is written as it is. Owns libarchive's writer; knows no file system.
 * One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vu_compress {
	VU_COMPRESS_ZSTD,
	VU_COMPRESS_XZ,
	VU_COMPRESS_GZIP,
	VU_COMPRESS_NONE,
};

/* A part of a file that is no hole. */
struct vu_extent {
	uint64_t at;
	uint64_t len;
};

struct vu_pax_member {
	const char *path;
	const char *hard_link; /* path of a member before it whose further name this is; or NULL */
	const char *target;    /* of a symbolic link */
	uint32_t mode;	       /* type and permission bits */
	uint32_t uid;
	uint32_t gid;
	uint64_t mtime_ns;
	uint64_t size; /* of a regular file that is no further name */
	uint32_t dev_major;
	uint32_t dev_minor;
	const struct vu_extent *extents; /* with n_extents above 0 all else is holes */
	size_t n_extents;
};

struct vu_pax;

/*
 * Begins an archive on fd (borrowed). threads: for compressing. Returns 0; -EOPNOTSUPP where libarchive
 * was built without that compression; or a negative errno. vu_pax_free in any case: without
 * vu_pax_end before it what was written is no archive.
 */
int vu_pax_new(int fd, enum vu_compress compress, unsigned threads, struct vu_pax **ret);
struct vu_pax *vu_pax_free(struct vu_pax *p);

/* An attribute of the member that comes next. Returns 0, or a negative errno. */
int vu_pax_xattr(struct vu_pax *p, const char *name, const void *value, size_t len);

/* Begins a member, with the attributes given before. Returns 0, or a negative errno. */
int vu_pax_begin(struct vu_pax *p, const struct vu_pax_member *m);

/*
 * The next bytes of its content; NULL: zeros, for holes. All together are exactly as many as announced.
 * Returns 0, or a negative errno (-ENOSPC, -EPIPE, ...).
 */
int vu_pax_data(struct vu_pax *p, const void *data, uint64_t len);

/* Ends the archive. Returns 0, or a negative errno. */
int vu_pax_end(struct vu_pax *p);

/* Bytes that have been written to fd. */
uint64_t vu_pax_written(const struct vu_pax *p);
