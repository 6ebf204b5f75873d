/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mount and file system that a directory is on: where its pool goes, how it is known again, and
 * whether it can hold what unifying needs. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vu_mount {
	char *point;  /* owned; the mount point as this process sees it */
	char *root;   /* owned; the directory of the file system that is mounted there */
	char *type;   /* owned; "ext4", "xfs", "btrfs", ... */
	char *fs_id;  /* owned; stable over reboots: the fs's UUID (and subvolume), else its fsid */
	uint64_t dev; /* st_dev */
	uint64_t super_dev;   /* the superblock's, as mountinfo shows it; on btrfs it is another */
	uint64_t id;	      /* mount id */
	uint64_t block_bytes; /* the unit in which files occupy the disk */
	bool read_only;
};

void vu_mount_done(struct vu_mount *m);

/* Finds out about the mount of an open directory. Returns 0 or a negative errno. */
int vu_mount_of(int dirfd, struct vu_mount *ret);

/* The same without fs_id and block_bytes, for which the directory would have to be opened. */
int vu_mount_where(int dirfd, struct vu_mount *ret);

/* Is a type known to hold immutable flags, leases and renameat2(RENAME_EXCHANGE): ext4, xfs, btrfs? */
bool vu_mount_can_link(const struct vu_mount *m);

/* Does a type share extents (FIDEDUPERANGE): xfs, btrfs? */
bool vu_mount_can_reflink(const struct vu_mount *m);
