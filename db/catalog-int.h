/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the catalog's own sources share. Not for others: it shows sqlite3.h. */
#pragma once

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "db/catalog.h"
#include "db/sql.h"
#include "model/guest.h"
#include "model/tree.h"

#define VU_CATALOG_APPLICATION_ID 0x76756e66 /* "vunf" in the file's header */

/* Rows of the catalog and numbers of the tree that was loaded last, for attrs and file systems. */
struct vu_catalog_map {
	uint32_t *attr_row; /* owned; by number in the tree, ascending for those loaded; 0: none */
	uint32_t n_attrs;
	uint32_t n_attrs_loaded;
	uint32_t n_contents_loaded;
	char *fs_id[256]; /* owned; by vu_inode.fs, NULL for those not told */
};

struct vu_catalog {
	sqlite3 *db;
	bool writable;
	bool immutable; /* opened without locks: a writer may have come meanwhile */
	bool written;	/* something was committed */
	bool beside;	/* VU_CATALOG_NOTE: another one may know row numbers */
	char *path;	/* owned */
	struct stat st; /* of the file when it was opened */
	char message[512];
	struct vu_catalog_map map;
};

/* Notes the message of a failed r (from SQLite unless text) and returns r, for `return fail()`. */
int vu_catalog_fail(struct vu_catalog *cat, int r, const char *text);

/* Has nobody written the file under a reader without locks? 0, or -EBUSY with the message set. */
int vu_catalog_check_still(struct vu_catalog *cat);

/* The same for a row that cannot be: VU_CATALOG_DAMAGED, naming the table. */
int vu_catalog_bad_row(struct vu_catalog *cat, const char *table);

/* Commits and remembers that something was written. */
int vu_catalog_commit(struct vu_catalog *cat, sqlite3 **txn);

/* A name as the kernel makes them, copied with a NUL behind it. False: it is none. */
bool vu_catalog_column_name(sqlite3_stmt *s, int col, char name[NAME_MAX + 1]);

/* Syncs the directory that holds path. Returns 0 or a negative errno. */
int vu_catalog_sync_dir_of(const char *path);

/* The columns that vu_catalog_guest_read() wants. */
#define VU_CATALOG_GUEST_ROWS                                                                      \
	"SELECT id, name, path, fs_id, ino, domain, rules, trust, template FROM guest NOT INDEXED"

/* The same of a catalog that is older than templates. */
#define VU_CATALOG_GUEST_ROWS_OLD                                                                  \
	"SELECT id, name, path, fs_id, ino, domain, rules, trust, 0 FROM guest NOT INDEXED"

/*
 * Reads a row into g, which is to be freed in any case. Its seal is not looked at. Returns 0,
 * VU_CATALOG_DAMAGED for values that cannot be, or -ENOMEM.
 */
int vu_catalog_guest_read(struct vu_catalog *cat, sqlite3_stmt *s, struct vu_guest *g);

/* Does the seal fit? Returns 0, VU_CATALOG_DAMAGED, or a negative errno. */
int vu_catalog_guest_seal_check(struct vu_catalog *cat, const struct vu_guest *g);
