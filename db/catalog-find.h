/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions about single files, for `why` and `owners`: answered by reading tables whole, so not for
 * loops. Owns nothing. Errors: see catalog.h. fn returns 0 to go on, anything else ends it and is
 * returned.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "db/catalog.h"
#include "model/digest.h"
#include "model/key.h"

/* What is recorded of a private inode, or of an object. */
struct vu_found_inode {
	uint64_t size, mtime_ns, ctime_ns;
	uint32_t n_links;
	uint8_t skip;	 /* enum vu_skip; objects: none */
	bool has_digest; /* it was read */
	struct vu_digest digest;
};

/* 0 and ret_inode, or -ENOENT. */
int vu_catalog_find_inode(struct vu_catalog *cat, uint32_t guest, uint64_t ino,
			  struct vu_found_inode *ret_inode);

/* The same for the object ino of a file system. */
int vu_catalog_find_object(struct vu_catalog *cat, const char *fs_id, uint64_t ino,
			   struct vu_found_inode *ret_inode);

/*
 * The private names with this content, at most limit: fn(arg, guest's id, path below its root without a
 * leading '/', size).
 */
int vu_catalog_find_content(struct vu_catalog *cat, const struct vu_digest *digest, uint32_t limit,
			    int (*fn)(void *arg, uint32_t guest, const char *path, uint64_t size),
			    void *arg);

/* The objects with this content: fn(arg, file system, inode number, key, links). */
int vu_catalog_find_objects(struct vu_catalog *cat, const struct vu_digest *digest,
			    int (*fn)(void *arg, const char *fs_id, uint64_t ino,
				      const struct vu_key *key, uint32_t n_links),
			    void *arg);

/*
 * The recorded names in a guest of those objects on its file system that are wanted: fn(arg, inode number,
 * path). For many at once.
 */
int vu_catalog_find_names(struct vu_catalog *cat, uint32_t guest,
			  bool (*wanted)(void *arg, uint64_t ino),
			  int (*fn)(void *arg, uint64_t ino, const char *path), void *arg);

/* The recorded names of the object ino in a guest on its file system: fn(arg, path). */
int vu_catalog_find_unified(struct vu_catalog *cat, uint32_t guest, uint64_t ino, uint32_t limit,
			    int (*fn)(void *arg, const char *path), void *arg);

/* The recorded names of a private inode: fn(arg, path). */
int vu_catalog_find_private(struct vu_catalog *cat, uint32_t guest, uint64_t ino, uint32_t limit,
			    int (*fn)(void *arg, const char *path), void *arg);

/* The private inodes that were never read, so that nobody knows their content: fn(arg, guest's id, ino, size). */
int vu_catalog_find_unread(struct vu_catalog *cat,
			   int (*fn)(void *arg, uint32_t guest, uint64_t ino, uint64_t size),
			   void *arg);
