/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db/sql.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define MAX_VALUE_BYTES (1 << 24) /* of one value or row; what we write is far below */
#define BUSY_MS 5000		  /* how long to wait for another writer's commit */

/* SQLite's primary result codes; those that are not here mean a defect of ours. */
static const struct {
	int rc;
	int err;
} errors[] = {
	{SQLITE_OK, 0},
	{SQLITE_ROW, 0},
	{SQLITE_DONE, 0},
	{SQLITE_CORRUPT, VU_SQL_DAMAGED},
	{SQLITE_NOTADB, VU_SQL_DAMAGED},
	{SQLITE_FORMAT, VU_SQL_DAMAGED},
	{SQLITE_CONSTRAINT, VU_SQL_DAMAGED},
	{SQLITE_MISMATCH, VU_SQL_DAMAGED},
	{SQLITE_SCHEMA, VU_SQL_DAMAGED},
	{SQLITE_TOOBIG, VU_SQL_DAMAGED},
	{SQLITE_ERROR, VU_SQL_DAMAGED},
	{SQLITE_EMPTY, VU_SQL_DAMAGED},
	{SQLITE_FULL, -ENOSPC},
	{SQLITE_READONLY, -EROFS},
	{SQLITE_PERM, -EACCES},
	{SQLITE_AUTH, -EACCES},
	{SQLITE_NOMEM, -ENOMEM},
	{SQLITE_BUSY, -EBUSY},
	{SQLITE_LOCKED, -EBUSY},
	{SQLITE_PROTOCOL, -EBUSY},
	{SQLITE_INTERRUPT, -ECANCELED},
	{SQLITE_NOLFS, -EFBIG},
	{SQLITE_CANTOPEN, -EACCES},
	{SQLITE_IOERR, -EIO},
};

int vu_sql_result(sqlite3 *db, int rc)
{
	int err = -EINVAL;

	if (rc == SQLITE_IOERR_SHORT_READ || rc == SQLITE_IOERR_CORRUPTFS)
		return VU_SQL_DAMAGED;
	if (rc == SQLITE_IOERR_NOMEM)
		return -ENOMEM;
	for (size_t i = 0; i < VU_ARRAY_SIZE(errors); i++)
		if (errors[i].rc == (rc & 0xff))
			err = errors[i].err;
	if (db && (err == -EIO || err == -EACCES)) {
		int sys = sqlite3_system_errno(db);

		/* SQLite asks for a file's length or a lock in ways that leave small change here */
		if (sys > 0 && sys != EAGAIN && sys != EINTR)
			err = -sys;
	}
	return err;
}

/* The file as a URI, with what means something in a URI escaped. */
static char *uri_of(const char *path, const char *query)
{
	char *uri = malloc(strlen(path) * 3 + strlen(query) + sizeof("file:")), *p = uri;

	if (!uri)
		return NULL;
	p = stpcpy(p, "file:");
	for (const char *s = path; *s; s++) {
		if (*s == '?' || *s == '#' || *s == '%') {
			static const char hex[] = "0123456789abcdef";

			*p++ = '%';
			*p++ = hex[*s >> 4];
			*p++ = hex[*s & 15];
		} else {
			*p++ = *s;
		}
	}
	strcpy(p, query);
	return uri;
}

static int settings(sqlite3 *db)
{
	int r = sqlite3_extended_result_codes(db, 1);

	if (!r)
		r = sqlite3_busy_timeout(db, BUSY_MS);
	if (!r)
		r = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (!r)
		r = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	if (!r)
		r = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	/* a view in the place of a table could be one without an end */
	if (!r)
		r = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES);
	return vu_sql_result(db, r);
}

int vu_sql_open(const char *path, enum vu_sql_mode mode, sqlite3 **ret_db)
{
	static const char *const query[] = {"?mode=rw", "?mode=ro", "?mode=ro&immutable=1"};
	_cleanup_free_ char *uri = uri_of(path, query[mode]);
	sqlite3 *db = NULL;

	if (!uri)
		return -ENOMEM;
	/* refused with SQLITE_MISUSE once SQLite runs, which is then set up already */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	int r = sqlite3_open_v2(
		uri, &db,
		SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX |
			(mode == VU_SQL_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY),
		NULL);

	r = r ? vu_sql_result(db, r) : settings(db);
	if (r) {
		sqlite3_close(db);
		return r;
	}
	*ret_db = db;
	return 0;
}

int vu_sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_s)
{
	return vu_sql_result(db, sqlite3_prepare_v2(db, sql, -1, ret_s, NULL));
}

int vu_sql_exec(sqlite3 *db, const char *sql)
{
	return vu_sql_result(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static int bind(sqlite3_stmt *s, const char *fmt, va_list ap)
{
	int rc = SQLITE_OK;

	for (int n = 1; *fmt && !rc; fmt++, n++) {
		if (*fmt == 'i') {
			rc = sqlite3_bind_int64(s, n, va_arg(ap, int64_t));
		} else if (*fmt == 't') {
			rc = sqlite3_bind_text(s, n, va_arg(ap, const char *), -1, SQLITE_STATIC);
		} else {
			const void *p = va_arg(ap, const void *);

			rc = sqlite3_bind_blob(s, n, p, va_arg(ap, int), SQLITE_STATIC);
		}
	}
	return vu_sql_result(sqlite3_db_handle(s), rc);
}

int vu_sql_bind(sqlite3_stmt *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int r = bind(s, fmt, ap);

	va_end(ap);
	return r;
}

int vu_sql_done(sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);

	if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
		int r = vu_sql_result(sqlite3_db_handle(s), rc);

		sqlite3_reset(s);
		return r;
	}
	sqlite3_reset(s);
	return 0;
}

int vu_sql_run(sqlite3 *db, const char *sql, const char *fmt, ...)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(db, sql, &s);
	va_list ap;

	if (r)
		return r;
	va_start(ap, fmt);
	r = bind(s, fmt, ap);
	va_end(ap);
	return r ? r : vu_sql_done(s);
}

int vu_sql_number(sqlite3 *db, int64_t absent, int64_t *ret_v, const char *sql, const char *fmt,
		  ...)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(db, sql, &s);
	va_list ap;

	if (r)
		return r;
	va_start(ap, fmt);
	r = bind(s, fmt, ap);
	va_end(ap);
	if (r)
		return r;
	int rc = sqlite3_step(s);

	r = vu_sql_result(db, rc);
	if (!r)
		*ret_v = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : absent;
	return r;
}

uint64_t vu_sql_column(sqlite3_stmt *s, int col, uint64_t max, bool *ok)
{
	int64_t v = sqlite3_column_int64(s, col);

	if (sqlite3_column_type(s, col) == SQLITE_INTEGER && v >= 0 && (uint64_t)v <= max)
		return (uint64_t)v;
	*ok = false;
	return 0;
}

uint64_t vu_sql_bits(sqlite3_stmt *s, int col, bool *ok)
{
	if (sqlite3_column_type(s, col) == SQLITE_INTEGER)
		return (uint64_t)sqlite3_column_int64(s, col);
	*ok = false;
	return 0;
}

char *vu_sql_string(sqlite3_stmt *s, int col, bool *ok)
{
	const char *text = (const char *)sqlite3_column_text(s, col);
	int n = sqlite3_column_bytes(s, col);

	if (!text && sqlite3_errcode(sqlite3_db_handle(s)) == SQLITE_NOMEM)
		return NULL;
	if (!text || memchr(text, 0, (size_t)n)) {
		*ok = false;
		return NULL;
	}
	return strndup(text, (size_t)n);
}

int vu_sql_begin(sqlite3 *db, sqlite3 **ret_txn)
{
	/* one that could not be ended for want of memory */
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	int r = vu_sql_exec(db, "BEGIN IMMEDIATE");

	if (!r)
		*ret_txn = db;
	return r;
}

int vu_sql_commit(sqlite3 **txn)
{
	int r = vu_sql_exec(*txn, "COMMIT");

	if (!r)
		*txn = NULL;
	return r;
}

void vu_sql_rollback_p(sqlite3 **txn)
{
	if (*txn && !sqlite3_get_autocommit(*txn))
		sqlite3_exec(*txn, "ROLLBACK", NULL, NULL, NULL);
}
