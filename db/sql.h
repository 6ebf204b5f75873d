/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SQLite, as the catalog uses it: connections, statements, transactions, and its error codes turned
 * into ours, which is where they stop. Knows no table. Only db/ includes this. One thread at a time.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

enum vu_sql_e {
	VU_SQL_DAMAGED = 1, /* the file is no database, is malformed, or lacks what it must have */
};

enum vu_sql_mode {
	VU_SQL_WRITE,	  /* an existing file (which may be empty) for reading and writing */
	VU_SQL_READ,	  /* for reading, beside a writer */
	VU_SQL_IMMUTABLE, /* for reading, without locks and side files: nobody writes it meanwhile */
};

/* Opens the file with what every catalog connection wants: no mutex, bounded lengths, distrust of
 * the file. Returns 0 and the owned connection, VU_SQL_DAMAGED, or a negative errno. */
int vu_sql_open(const char *path, enum vu_sql_mode mode, sqlite3 **ret_db);

/*
 * A result code as 0 (also for SQLITE_ROW and SQLITE_DONE), VU_SQL_DAMAGED, or a negative errno:
 * -ENOSPC, -EROFS, -EACCES, -EIO, -EBUSY (somebody else writes), -ENOMEM, -ECANCELED, or what the
 * system call said. db may be NULL.
 */
int vu_sql_result(sqlite3 *db, int rc);

/* Compiles sql. A statement that does not compile means a schema that is not ours: VU_SQL_DAMAGED. */
int vu_sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_s);

/* Runs one or more statements, ignoring rows. */
int vu_sql_exec(sqlite3 *db, const char *sql);

/*
 * Binds by format, from parameter 1: i int64_t, t const char * (NULL allowed), b const void * and int
 * (bytes). Memory must live until the statement is reset. Returns as vu_sql_result.
 */
int vu_sql_bind(sqlite3_stmt *s, const char *fmt, ...);

/* Steps a statement that yields no rows, and resets it. Returns as vu_sql_result. */
int vu_sql_done(sqlite3_stmt *s);

/* Prepares, binds, runs to its end, finalizes. */
int vu_sql_run(sqlite3 *db, const char *sql, const char *fmt, ...);

/* Binds; the first column of the first row as a number. ret_v is absent without a row. */
int vu_sql_number(sqlite3 *db, int64_t absent, int64_t *ret_v, const char *sql, const char *fmt,
		  ...);

/* A column as a number of at most max; clears *ok and yields 0 for anything else. */
uint64_t vu_sql_column(sqlite3_stmt *s, int col, uint64_t max, bool *ok);

/* The same for an unsigned value of 64 bits, stored as the signed one of equal bits: any integer. */
uint64_t vu_sql_bits(sqlite3_stmt *s, int col, bool *ok);

/* A column as an owned string without NUL bytes in it; clears *ok where it is not one; NULL then,
 * and without memory (*ok stays set). */
char *vu_sql_string(sqlite3_stmt *s, int col, bool *ok);

static inline void vu_sql_finalize_p(sqlite3_stmt **s)
{
	sqlite3_finalize(*s);
}

/* A statement; a transaction (of a sqlite3 *) that is rolled back unless committed. */
#define _cleanup_stmt_ vu_cleanup(vu_sql_finalize_p)
#define _cleanup_txn_ vu_cleanup(vu_sql_rollback_p)

/* Begins a transaction for writing, and yields db in ret_txn. */
int vu_sql_begin(sqlite3 *db, sqlite3 **ret_txn);

/* Commits; *txn is NULL afterwards if that worked. */
int vu_sql_commit(sqlite3 **txn);

/* Rolls back what is not committed. Accepts NULL. */
void vu_sql_rollback_p(sqlite3 **txn);
