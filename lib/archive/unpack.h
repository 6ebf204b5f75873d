/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a tree of the members of an archive, or of several on top of each other (layers of an image), in a
 * directory that nobody else can reach. Believes nothing of what comes: no name leads out of the directory
 * (symbolic links of the tree are followed as the guest would follow them, never out of it), no limit is
 * exceeded, and devices, set-id bits and file capabilities are refused unless they are allowed. Knows
 * nothing of pools: whether a content is to be had elsewhere it asks, and then leaves the name to the caller,
 * or makes an empty file in its place where more has to be done with that. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "archive/standin.h"
#include "archive/stream.h"
#include "model/attr.h"
#include "model/digest.h"

#define VU_UNPACK_NONE UINT32_MAX

enum vu_unpack_flag {
	VU_UNPACK_DEVICES = 1 << 0, /* make block and character devices */
	VU_UNPACK_SETID = 1 << 1,   /* keep set-id bits and file capabilities */
	VU_UNPACK_LAYERS = 1 << 2,  /* .wh. names take away what lower layers have */
};

/* A regular file that has come to its end. All is borrowed. */
struct vu_unpack_file {
	const char *path; /* relative to the root, as the archive names it */
	uint64_t size;
	uint64_t mtime_ns;	 /* as statx would tell it */
	struct vu_attr attr;	 /* full, but for the inode flags */
	struct vu_digest digest; /* may be what who reads the archive says: to be proven */
	const void *data;	 /* all of it, or NULL */
	int fd;			 /* then it is here */
};

struct vu_unpack_env {
	int root;	    /* borrowed; the directory */
	unsigned flags;	    /* enum vu_unpack_flag */
	uint32_t max_depth; /* levels below the root */
	uint64_t max_members;
	uint64_t max_bytes;	/* of all files together, holes too */
	size_t max_xattr_bytes; /* of one member */
	/* Is it worth to ask for a file like this? Its digest is not known yet. NULL: for none. */
	bool (*wants)(void *arg, const struct vu_unpack_file *f);
	/* Is its content to be had? Returns 1 and a token, 0, -EPROTO for a false digest, or errno. */
	int (*known)(void *arg, const struct vu_unpack_file *f, uint32_t *ret_token);
	/*
	 * A regular file was made: an empty one that stands for a token, or with VU_UNPACK_NONE one that
	 * has its content. Inode numbers of files that were removed come again. Returns 0 or errno.
	 */
	int (*placed)(void *arg, uint64_t ino, uint32_t token);
	void *arg;
};

struct vu_unpack_stats {
	uint64_t members;
	uint64_t dirs;
	uint64_t files; /* written */
	uint64_t bytes; /* of them */
	uint64_t known; /* left to be replaced */
	uint64_t known_bytes;
	uint64_t links;
	uint64_t others;
	uint64_t whiteouts;
	uint64_t xattrs_left_out; /* of namespaces that are not for archives */
};

enum vu_unpack_e {
	VU_UNPACK_REFUSED = 1, /* vu_unpack_why says what for */
	VU_UNPACK_BROKEN,      /* the archive is not whole, or no tar archive */
};

struct vu_unpack;

/* env is borrowed. Returns 0 or a negative errno. */
int vu_unpack_new(const struct vu_unpack_env *env, struct vu_unpack **ret);
struct vu_unpack *vu_unpack_free(struct vu_unpack *u);

/*
 * Unpacks a stream (vu_reader.fd) to its end. Returns 0, an enum vu_unpack_e, -ECANCELED, -ENOSPC, or another
 * negative errno.
 */
int vu_unpack_layer(struct vu_unpack *u, int stream);

/* What was wrong, and of which member (raw bytes; or NULL). Of the last failure; borrowed. */
const char *vu_unpack_why(const struct vu_unpack *u, const char **ret_member);

/*
 * To be called last, for every directory of the tree (open for reading): gives it owner, mode, attributes
 * and times. Before, all are root's alone. Returns 0 or a negative errno.
 */
int vu_unpack_settle_dir(struct vu_unpack *u, int dir);

/* The names that stand for a token, and are not on the disk; for vu_standins_first with a directory's inode. */
const struct vu_standins *vu_unpack_standins(const struct vu_unpack *u);

const struct vu_unpack_stats *vu_unpack_stats(const struct vu_unpack *u);
