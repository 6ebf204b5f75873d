/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One file of the content stage: opened only when it is what the walk saw and nobody writes to it,
 * its attributes completed; closed with a content only when it still is the same. A part of
 * scan/content; nobody else calls it. A reader belongs to one thread.
 */
#pragma once

#include "base/hash.h"
#include "fs/pagecache.h"
#include "model/version.h"
#include "scan/content.h"

/* What a thread needs. Zeroed, then _init. */
struct vu_content_reader {
	const struct vu_content_env *env;
	struct vu_tree *t;
	const uint64_t *devs; /* of the guests' roots; borrowed */
	pthread_mutex_t *sink_lock;
	int self_fd;	      /* of /proc/self/fd, borrowed: saves looking that up for each file */
	struct vu_hash *hash; /* owned */
	struct vu_content_stats stats;
	unsigned n_waits;	/* for timestamps to get older */
	bool no_dontcache[256]; /* by file system: RWF_DONTCACHE does not work */
	struct vu_attr attr;	/* the last full one interned */
	uint32_t attr_n;
};

struct vu_content_file {
	uint32_t inode;
	int fd; /* owned; -EBADF: none */
	struct vu_version version;
	struct vu_quiet_reader quiet;
};

enum vu_content_file_e {
	VU_CONTENT_SKIPPED = 1 /* the inode got a skip */
};

int vu_content_reader_init(struct vu_content_reader *c);
void vu_content_reader_done(struct vu_content_reader *c);

/* Opens an inode of the tree. Returns 0, VU_CONTENT_SKIPPED, or -ENOMEM. */
int vu_content_open(struct vu_content_reader *c, uint32_t inode, struct vu_content_file *ret);

/*
 * Reads exactly len bytes at offset. Returns 0; VU_CONTENT_SKIPPED when that failed: the file is
 * closed then.
 */
int vu_content_read(struct vu_content_reader *c, struct vu_content_file *f, void *buf, size_t len,
		    uint64_t offset);

/* Closes a file that was read to its end: it gets the content if it has not changed meanwhile. */
void vu_content_settle(struct vu_content_reader *c, struct vu_content_file *f, uint32_t content);

/* Closes a file that will be opened again. */
void vu_content_close(struct vu_content_file *f);
