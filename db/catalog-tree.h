/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The farm between catalog and memory: a few SELECTs in key order joined by merging, and one
 * transaction that writes what changed. Owns nothing: the tree is the caller's, and nobody else works
 * on it meanwhile (its lock is not taken for long, and not needed). Errors: see catalog.h.
 *
 * In a run: vu_catalog_load_tree() into an empty tree, then vu_catalog_load_objects() for each file
 * system with a pool, then the walk, then vu_catalog_save_tree(), perhaps more than once.
 */
#pragma once

#include <stdint.h>

#include "base/inomap.h"
#include "db/catalog.h"
#include "model/guest.h"
#include "model/tree.h"

/*
 * Loads directories, private names, private inodes, attrs and contents of these guests into t, which
 * must be empty; all with fate VU_UNSEEN. The index in guests becomes vu_dir.guest and vu_inode.guest;
 * guests with id 0 have nothing. vu_dir.row is set, parents stand before their children. A directory
 * whose rows do not fit together (a name without its inode) comes with VU_DIR_FAILED, so is never clean.
 * After an error t is to be freed.
 */
int vu_catalog_load_tree(struct vu_catalog *cat, const struct vu_guests *guests, struct vu_tree *t);

/*
 * Tells that fs_index (vu_inode.fs, at most 255) is the file system fs_id, and appends its objects to
 * t as inode records (VU_INODE_OBJECT; guest and fs are fs_index; fate VU_UNSEEN) with their keys; map
 * gets ino -> inode number. To be called for each file system of which objects will be saved, after
 * vu_catalog_load_tree() with the same t.
 */
int vu_catalog_load_objects(struct vu_catalog *cat, const char *fs_id, uint16_t fs_index,
			    struct vu_tree *t, struct vu_inomap *map);

/*
 * Streams the recorded unified names of these guests as (index in guests, number of the directory as
 * vu_dir.row has it, inode number of the object). fn returns 0 to go on; anything else ends it and is
 * returned.
 */
int vu_catalog_load_unified(struct vu_catalog *cat, const struct vu_guests *guests,
			    int (*fn)(void *arg, uint16_t guest, uint32_t dir, uint64_t ino),
			    void *arg);

enum vu_save_flag {
	/* The walk was cut short: what it did not meet stays. Names in listed directories go. */
	VU_SAVE_KEEP_UNSEEN = 1 << 0,
};

/*
 * Writes what is not VU_KEPT, in one transaction; nothing at all (not even a transaction) where
 * nothing changed. guests: those of the load, each with an id.
 *
 * Directories, names, inodes: VU_NEW and VU_CHANGED are written, VU_UNSEEN and VU_GONE deleted, a
 * directory with all in it and below it. VU_DIR_TOUCHED counts as VU_CHANGED. A directory never changes
 * its parent or name: one that was moved is a new one.
 * Names with .unified become unified names of their inode's object, where the inode is
 * VU_INODE_UNIFIED (.key: the object's inode number) or VU_INODE_ADOPTED; else they are deleted. These
 * inodes leave the private ones; an adopted one (.key: number in t->objects, .fs: its file system)
 * becomes an object. The unified names of a VU_DIR_LISTED directory are replaced by those in
 * t->unified and those made in this run.
 * Objects: VU_NEW and VU_CHANGED are written, VU_GONE deleted; VU_UNSEEN ones stay (a walk that skips
 * clean directories does not meet them).
 *
 * On success the tree says so: fates become VU_KEPT and VU_GONE, VU_DIR_LISTED and VU_DIR_TOUCHED are
 * cleared, t->unified is emptied; so later changes can be saved by another call. After an error the tree
 * must not be saved again.
 */
int vu_catalog_save_tree(struct vu_catalog *cat, const struct vu_guests *guests, struct vu_tree *t,
			 unsigned flags);
