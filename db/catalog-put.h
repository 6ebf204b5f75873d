/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single rows of a save: statements prepared when first used, and one function for each kind of row.
 * What is written, and in which order, is decided by catalog-save.c and catalog-unames.c, which alone call this.
 */
#pragma once

#include "db/catalog-int.h"
#include "model/guest.h"

enum vu_save_stmt {
	DEL_DIR,
	DEL_DIR_NAMES,
	DEL_DIR_UNAMES,
	DEL_NAME,
	DEL_UNAME,
	DEL_INODE,
	DEL_OBJECT,
	PUT_CONTENT,
	PUT_ATTR,
	PUT_DIR,
	PUT_NAME,
	PUT_UNAME,
	GET_UNAMES,
	PUT_INODE,
	PUT_OBJECT,
	N_STMT,
};

/* A name to be written, and the inode number it names. */
struct vu_entry {
	const char *name;
	uint64_t ino;
};

struct vu_entries {
	struct vu_entry *v; /* owned */
	uint32_t n, max;
};

struct vu_save {
	struct vu_catalog *cat;
	const struct vu_guests *guests;
	struct vu_tree *t;
	unsigned flags;
	sqlite3_stmt *stmt[N_STMT];	 /* owned; prepared when first used */
	uint32_t *unified_head;		 /* owned; by directory: number in t->unified + 1 */
	uint32_t *unified_next;		 /* owned; by number in t->unified */
	struct vu_entries names, unames; /* of the directory at hand */
	int64_t fs_row[256];		 /* by vu_inode.fs, 0: not asked yet */
	int64_t dropped;		 /* references to contents */
};

void vu_save_done(struct vu_save *s);
int vu_save_get(struct vu_save *s, enum vu_save_stmt which, int64_t a, int64_t b,
		sqlite3_stmt **ret_s);
int vu_save_run(struct vu_save *s, enum vu_save_stmt which, int64_t a, int64_t b);
int64_t vu_save_guest(const struct vu_save *s, uint16_t guest);
int vu_save_contents(struct vu_save *s);
int vu_save_attrs(struct vu_save *s);
int vu_save_fs(struct vu_save *s, uint8_t fs, int64_t *ret_row);
int vu_save_entries(struct vu_save *s, enum vu_save_stmt which, const struct vu_dir *d,
		    const struct vu_entries *e);
int vu_save_dir(struct vu_save *s, const struct vu_dir *d);
int vu_save_inode(struct vu_save *s, const struct vu_inode *n);
int vu_save_object(struct vu_save *s, const struct vu_inode *n);
