/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names in a directory, straight from getdents64(2): no stdio, no allocation, any number of
 * names, any bytes in them. And whether d_ino can stand for st_ino. Called by the walk. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VU_LISTING_BYTES ((size_t)64 << 10)

struct vu_entry {
	const char *name;   /* valid until the batch ends */
	uint64_t ino;	    /* d_ino */
	unsigned char type; /* DT_*, DT_UNKNOWN where the fs does not say */
};

/* Who listens to a listing. A non-zero result ends it and is returned. */
struct vu_listener {
	int (*entry)(void *arg, const struct vu_entry *e);
	int (*batch_end)(void *arg); /* after it, the names of the entries so far are gone */
	void *arg;
};

/*
 * Reads all of dirfd (opened O_RDONLY, at its beginning) with buf of VU_LISTING_BYTES; "." and ".."
 * are left out. *ret_failed: reading ended early with this negative errno, or 0. Returns 0 or the
 * listener's result.
 */
int vu_listing_each(int dirfd, void *buf, const struct vu_listener *l, int *ret_failed);

/*
 * Is d_ino the inode number for every regular file below the directory root? True on ext4, XFS and
 * btrfs where nothing is mounted below it in this mount namespace.
 */
bool vu_listing_ino_trusted(int root);
