/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What unpacking's files share: members (unpack.c), contents (unpack-file.c), places (unpack-place.c), metadata
 * (unpack-attr.c).
 */
#pragma once

#include "archive/member-path.h"
#include "archive/standin.h"
#include "archive/unpack.h"
#include "base/chunks.h"
#include "base/hash.h"
#include "base/inomap.h"
#include "fs/stat.h"

/* What a directory is to be in the end. */
struct vu_unpack_dir {
	uint32_t mode, uid, gid;
	struct timespec mtime;
	char *xattrs; /* owned; a list (archive/stream.h), or NULL */
	size_t xattrs_bytes;
};

struct vu_unpack {
	const struct vu_unpack_env *env;
	struct vu_unpack_stats stats;
	struct vu_stream_in in;
	char path[VU_MEMBER_PATH_MAX + 1];   /* of the member at hand */
	char target[VU_MEMBER_PATH_MAX + 1]; /* of its hard link */
	char member[VU_MEMBER_PATH_MAX + 1]; /* its name in the archive, for messages; "" */
	char why[512];
	uint64_t bytes; /* of all files so far */
	/* the directory in which something was made last */
	int parent;	   /* owned */
	char *parent_path; /* owned; or NULL */
	uint64_t parent_ino;
	struct vu_standins standins;  /* without layers */
	struct vu_inomap dirs;	      /* inode -> number in dir_records, or VU_UNPACK_NONE */
	struct vu_chunks dir_records; /* of struct vu_unpack_dir */
	size_t kept_bytes;	      /* of attributes in them */
	uint32_t layer;		      /* from 0 */
	struct vu_inomap touched;     /* with layers: inode -> the last one that had it */
	uint64_t root_ino;
	struct vu_hash *content_hash; /* owned; both */
	struct vu_hash *attr_hash;
	char *buf;  /* owned; VU_UNPACK_BUF: the content of a small file */
	bool knows; /* the last file that was asked for was known: the next may well be */
	/* the attributes of the member at hand that are taken, in the order of their names */
	struct vu_xattr_list xattrs; /* owned */
};

/*
 * A larger file is gathered on the disk: it costs twice as much there if the content is known. So is one that is larger
 * than VU_UNPACK_NEW where it is likely that it is not: from memory it is written when it is in no cache any more.
 */
#define VU_UNPACK_BUF ((size_t)8 << 20)
#define VU_UNPACK_NEW ((size_t)1 << 20)

/* Notes what is wrong with the member at hand. Returns VU_UNPACK_REFUSED. */
__attribute__((format(printf, 2, 3))) int vu_unpack_refuse(struct vu_unpack *u, const char *format,
							   ...);

/* ---- places (unpack-place.c) ---- */

/*
 * The directory of a path, in u->parent, which stays u's; make: makes what is missing. *ret_base: the last
 * component. Returns 0, VU_UNPACK_REFUSED, -ENOENT without make, or another negative errno.
 */
int vu_unpack_parent(struct vu_unpack *u, const char *path, bool make, const char **ret_base);

/* Nothing stands in at base in u->parent any more: a file comes there. */
void vu_unpack_drop_standin(struct vu_unpack *u, const char *base);

/* Takes away what is on the disk at base in u->parent. Returns 0 or a negative errno. */
int vu_unpack_clear(struct vu_unpack *u, const char *base);

/* Notes that this layer has the inode, and something in u->parent. Returns 0 or a negative errno. */
int vu_unpack_touch(struct vu_unpack *u, uint64_t ino);

/* A name ".wh.": takes away what lower layers have. Returns 0, VU_UNPACK_REFUSED or a negative errno. */
int vu_unpack_whiteout(struct vu_unpack *u, const char *base);

/* ---- contents (unpack-file.c) ---- */

/* A regular file that comes. */
struct vu_filling {
	struct vu_unpack *u;
	struct vu_unpack_file f; /* data or fd is where it is gathered */
	uint64_t at;		 /* up to here it has come */
	uint64_t holes;
	bool hash; /* it is hashed as it comes, unless it comes with its digest; to be set before */
	bool hashed; /* f.digest is there */
	bool unkept; /* a large one is gathered nowhere */
	int fd;	     /* owned; of a large one */
};

/*
 * Begins the member at hand. attr is full but for flags. Returns 0 or
 * VU_UNPACK_REFUSED.
 */
int vu_filling_init(struct vu_filling *g, struct vu_unpack *u, const struct vu_member *m,
		    const struct vu_attr *attr);

/* Gathers its data, to their end. Returns 0, an enum vu_unpack_e or a negative errno. */
int vu_filling_gather(struct vu_filling *g);

/* Writes one that was gathered in memory into an open file that is empty. Returns 0 or a negative errno. */
int vu_filling_write_small(const struct vu_filling *g, int fd);

/*
 * Makes the regular file of a member at base in u->parent, with the data that come in u->in, to their end.
 * attr is full but for flags. Returns 0, an enum vu_unpack_e or a negative errno.
 */
int vu_unpack_regular(struct vu_unpack *u, const struct vu_member *m, const struct vu_attr *attr,
		      const char *base);

/* ---- metadata (unpack-attr.c) ---- */

/*
 * Keeps the attributes that are taken in u->xattrs, for what comes next in the stream takes the place of m,
 * and says in attr what they make of the file: as fs/xattr.h would find it on the disk. Returns 0,
 * VU_UNPACK_REFUSED or a negative errno.
 */
int vu_unpack_take_xattrs(struct vu_unpack *u, const struct vu_member *m, struct vu_attr *attr);

/* Sets those of a list on an open file, or where path is not NULL on what that names. The same. */
int vu_unpack_set_xattrs(struct vu_unpack *u, const char *list, size_t bytes, int fd,
			 const char *path);

struct timespec vu_unpack_mtime(const struct vu_member *m);

/* Sets owner, mode, attributes and times of an open file. Returns 0, VU_UNPACK_REFUSED or errno. */
int vu_unpack_metadata(struct vu_unpack *u, int fd, uint32_t mode, uint32_t uid, uint32_t gid,
		       const struct timespec *mtime);

/* ---- the stream (unpack.c) ---- */

/* The next item of the stream, which is no failure. Returns as vu_unpack_layer. */
int vu_unpack_next(struct vu_unpack *u, struct vu_stream_item *ret);

/* The content of a member of which nothing is made. The same. */
int vu_unpack_skip_data(struct vu_unpack *u);
