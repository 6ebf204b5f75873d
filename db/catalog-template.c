/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db/catalog-template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "db/catalog-int.h"

#define PATH_BYTES (1 << 20) /* of one path, at most: deeper trees are not noted */

int vu_catalog_template_note(struct vu_catalog *cat, uint32_t guest, struct vu_template_note *ret)
{
	int64_t ns = 0, files = 0, changed = 0;
	int r = vu_sql_number(cat->db, 0, &ns, "SELECT noted_ns FROM template_note WHERE guest = ?",
			      "i", (int64_t)guest);

	if (!r)
		r = vu_sql_number(cat->db, 0, &files,
				  "SELECT count(*) FROM template_file WHERE guest = ? AND age = 0",
				  "i", (int64_t)guest);
	if (!r)
		r = vu_sql_number(cat->db, 0, &changed,
				  "SELECT count(*) FROM template_file WHERE guest = ? AND age = 1",
				  "i", (int64_t)guest);
	*ret = (struct vu_template_note){
		.noted_ns = (uint64_t)ns,
		.files = (uint64_t)files,
		.changed = (uint64_t)changed,
	};
	return vu_catalog_fail(cat, r, NULL);
}

/* ---- load ---- */

static bool column_digest(sqlite3_stmt *s, int col, struct vu_digest *d)
{
	const void *p = sqlite3_column_blob(s, col);

	if (!p || sqlite3_column_bytes(s, col) != VU_DIGEST_BYTES)
		return false;
	memcpy(d, p, sizeof(*d));
	return true;
}

/* A path below a root: no NUL in it, not empty, not absolute. NULL for anything else, or without memory. */
static char *column_path(sqlite3_stmt *s, int col, bool *ok)
{
	const char *p = sqlite3_column_blob(s, col);
	int n = sqlite3_column_bytes(s, col);

	*ok = p && n > 0 && n <= PATH_BYTES && *p != '/' && !memchr(p, 0, (size_t)n);
	return *ok ? strndup(p, (size_t)n) : NULL;
}

static bool column_version(sqlite3_stmt *s, struct vu_template_version *v)
{
	bool ok = true;

	*v = (struct vu_template_version){
		.size = vu_sql_column(s, 4, INT64_MAX, &ok),
		.attr =
			{
				.mode = (uint32_t)vu_sql_column(s, 5, UINT16_MAX, &ok),
				.uid = (uint32_t)vu_sql_column(s, 6, UINT32_MAX, &ok),
				.gid = (uint32_t)vu_sql_column(s, 7, UINT32_MAX, &ok),
				.flags = (uint32_t)vu_sql_column(s, 8, UINT32_MAX, &ok),
				.full = true,
				.has_xattrs = sqlite3_column_type(s, 9) != SQLITE_NULL,
				.has_caps = vu_sql_column(s, 10, 1, &ok),
			},
	};
	return ok && column_digest(s, 2, &v->content) && column_digest(s, 3, &v->packages) &&
	       (!v->attr.has_xattrs || column_digest(s, 9, &v->attr.xattrs));
}

static int load_row(struct vu_catalog *cat, sqlite3_stmt *s, struct vu_template_files *fs)
{
	struct vu_template_file *f = fs->n ? &fs->v[fs->n - 1] : NULL;
	struct vu_template_version v;
	bool ok = true, path_ok;
	_cleanup_free_ char *path = column_path(s, 0, &path_ok);
	uint64_t age = vu_sql_column(s, 1, VU_TEMPLATE_PAST, &ok);

	if (path_ok && !path)
		return -ENOMEM;
	if (!ok || !path_ok || !column_version(s, &v))
		return vu_catalog_bad_row(cat, "template_file");
	/* a path that is no blob sorts before all that are: they are searched in order, and each is there once */
	if (!age && f && strcmp(f->path, path) >= 0)
		return vu_catalog_bad_row(cat, "template_file");
	if (!age) {
		f = vu_template_files_add(fs, path);
		if (!f)
			return -ENOMEM;
		f->stamp = (struct vu_template_stamp){
			.ino = vu_sql_bits(s, 11, &ok),
			.mtime_ns = vu_sql_bits(s, 12, &ok),
			.ctime_ns = vu_sql_bits(s, 13, &ok),
		};
	} else if (!f || f->n != age || strcmp(f->path, path) != 0) {
		ok = false;
	}
	return ok ? vu_template_file_push(f, &v) : vu_catalog_bad_row(cat, "template_file");
}

int vu_catalog_template_load(struct vu_catalog *cat, uint32_t guest, struct vu_template_files *ret)
{
	vu_cleanup(vu_template_files_done) struct vu_template_files fs = {0};
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(cat->db,
			       "SELECT path, age, content, packages, size, mode, uid, gid, flags,"
			       " xattrs, has_caps, ino, mtime_ns, ctime_ns FROM template_file"
			       " WHERE guest = ? ORDER BY path, age",
			       &s),
	    rc = SQLITE_DONE;

	if (!r)
		r = vu_sql_bind(s, "i", (int64_t)guest);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = load_row(cat, s, &fs);
	if (!r)
		r = vu_catalog_fail(cat, vu_sql_result(cat->db, rc), NULL);
	if (r)
		return vu_catalog_fail(cat, r, cat->message[0] ? cat->message : NULL);
	*ret = fs;
	fs = (struct vu_template_files){0};
	return 0;
}

/* ---- save ---- */

static int save_version(sqlite3_stmt *s, uint32_t guest, const struct vu_template_file *f,
			unsigned age)
{
	static const struct vu_template_stamp none = {0};
	const struct vu_template_version *v = &f->v[age];
	const struct vu_template_stamp *stamp = age ? &none : &f->stamp;
	int r = vu_sql_bind(s, "ibibbiiiiibiiii", (int64_t)guest, (const void *)f->path,
			    (int)strlen(f->path), (int64_t)age, (const void *)v->content.b,
			    VU_DIGEST_BYTES, (const void *)v->packages.b, VU_DIGEST_BYTES,
			    (int64_t)v->size, (int64_t)v->attr.mode, (int64_t)v->attr.uid,
			    (int64_t)v->attr.gid, (int64_t)v->attr.flags,
			    v->attr.has_xattrs ? (const void *)v->attr.xattrs.b : NULL,
			    VU_DIGEST_BYTES, (int64_t)v->attr.has_caps, (int64_t)stamp->ino,
			    (int64_t)stamp->mtime_ns, (int64_t)stamp->ctime_ns);

	return r ? r : vu_sql_done(s);
}

static int save_files(sqlite3 *db, uint32_t guest, const struct vu_template_files *fs)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(
		db,
		"INSERT INTO template_file (guest, path, age, content, packages, size,"
		" mode, uid, gid, flags, xattrs, has_caps, ino, mtime_ns, ctime_ns)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		&s);

	for (size_t i = 0; !r && i < fs->n; i++)
		for (unsigned age = 0; !r && age < fs->v[i].n; age++)
			r = save_version(s, guest, &fs->v[i], age);
	return r;
}

static int forget(sqlite3 *db, uint32_t guest)
{
	int r = vu_sql_run(db, "DELETE FROM template_file WHERE guest = ?", "i", (int64_t)guest);

	return r ? r
		 : vu_sql_run(db, "DELETE FROM template_note WHERE guest = ?", "i", (int64_t)guest);
}

int vu_catalog_template_save(struct vu_catalog *cat, uint32_t guest,
			     const struct vu_template_files *fs, uint64_t ns)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	int r = vu_sql_begin(cat->db, &txn);

	if (!r)
		r = forget(cat->db, guest);
	if (!r)
		r = save_files(cat->db, guest, fs);
	if (!r)
		r = vu_sql_run(cat->db, "INSERT INTO template_note VALUES (?, ?)", "ii",
			       (int64_t)guest, (int64_t)ns);
	return r ? vu_catalog_fail(cat, r, NULL) : vu_catalog_commit(cat, &txn);
}

int vu_catalog_template_seen(struct vu_catalog *cat, uint32_t guest, uint64_t ns)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	int r = vu_sql_begin(cat->db, &txn);

	if (!r)
		r = vu_sql_run(cat->db, "INSERT OR REPLACE INTO template_note VALUES (?, ?)", "ii",
			       (int64_t)guest, (int64_t)ns);
	return r ? vu_catalog_fail(cat, r, NULL) : vu_catalog_commit(cat, &txn);
}

int vu_catalog_template_forget(struct vu_catalog *cat, uint32_t guest)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	int r = vu_sql_begin(cat->db, &txn);

	if (!r)
		r = forget(cat->db, guest);
	return r ? vu_catalog_fail(cat, r, NULL) : vu_catalog_commit(cat, &txn);
}
