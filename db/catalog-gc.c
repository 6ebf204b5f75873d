/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db/catalog-gc.h"

#include "db/catalog-int.h"

/* One statement; adds the number of rows that it changed. */
static int run(struct vu_catalog *cat, const char *sql, uint64_t *n)
{
	int r = vu_sql_run(cat->db, sql, "");

	if (!r)
		*n += (uint64_t)sqlite3_changes(cat->db);
	return r;
}

/* The objects of a file system that its pool does not have. */
static int drop_objects(struct vu_catalog *cat, const struct vu_catalog_pool *p, uint64_t *n)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL, *del = NULL;
	int rc = SQLITE_DONE;
	int r = vu_sql_prepare(cat->db,
			       "SELECT fs, ino FROM object WHERE fs = (SELECT id FROM fs WHERE"
			       " fs_id = ?) ORDER BY ino",
			       &s);

	if (!r)
		r = vu_sql_prepare(cat->db, "DELETE FROM object WHERE fs = ? AND ino = ?", &del);
	if (!r)
		r = vu_sql_bind(s, "t", p->fs_id);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		int64_t ino = sqlite3_column_int64(s, 1);

		if (vu_inomap_get(p->objects, (uint64_t)ino, NULL))
			continue;
		r = vu_sql_bind(del, "ii", sqlite3_column_int64(s, 0), ino);
		if (!r)
			r = vu_sql_done(del);
		*n += !r;
	}
	return r ? r : vu_sql_result(cat->db, rc);
}

/* Nothing else removes them, but nothing should leave them behind either. */
static int drop_orphans(struct vu_catalog *cat, struct vu_catalog_gone *gone)
{
	static const char *const tables[] = {
		"DELETE FROM dir WHERE guest NOT IN (SELECT id FROM guest)",
		"DELETE FROM name WHERE guest NOT IN (SELECT id FROM guest)",
		"DELETE FROM uname WHERE guest NOT IN (SELECT id FROM guest)",
		"DELETE FROM inode WHERE guest NOT IN (SELECT id FROM guest)",
		"DELETE FROM broken WHERE guest NOT IN (SELECT id FROM guest)",
		"DELETE FROM guest_stat WHERE guest NOT IN (SELECT id FROM guest)",
		"DELETE FROM guest_skip WHERE guest NOT IN (SELECT id FROM guest)",
		"DELETE FROM template_file WHERE guest NOT IN (SELECT id FROM guest)",
		"DELETE FROM template_note WHERE guest NOT IN (SELECT id FROM guest)",
	};
	int r = 0;

	for (size_t i = 0; !r && i < VU_ARRAY_SIZE(tables); i++)
		r = run(cat, tables[i], &gone->others);
	if (!r)
		r = run(cat,
			"DELETE FROM object WHERE fs NOT IN (SELECT fs.id FROM fs, guest WHERE"
			" fs.fs_id = guest.fs_id)",
			&gone->objects);
	if (!r)
		r = run(cat, "DELETE FROM fs WHERE fs_id NOT IN (SELECT fs_id FROM guest)",
			&gone->others);
	return r;
}

static int drop_unreferenced(struct vu_catalog *cat, struct vu_catalog_gone *gone)
{
	int r = run(cat,
		    "DELETE FROM content WHERE id NOT IN (SELECT content FROM inode"
		    " UNION SELECT content FROM object)",
		    &gone->contents);

	if (!r)
		r = run(cat,
			"DELETE FROM attr WHERE id NOT IN (SELECT attr FROM inode"
			" UNION SELECT attr FROM object)",
			&gone->attrs);
	return r;
}

int vu_catalog_gc(struct vu_catalog *cat, bool dry_run, const struct vu_catalog_pool *pools,
		  size_t n, struct vu_catalog_gone *ret_gone)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	struct vu_catalog_gone gone = {0};
	int r = vu_sql_begin(cat->db, &txn);

	for (size_t i = 0; !r && i < n; i++)
		r = drop_objects(cat, &pools[i], &gone.objects);
	if (!r)
		r = drop_orphans(cat, &gone);
	if (!r)
		r = drop_unreferenced(cat, &gone);
	if (!r && !dry_run && (gone.objects || gone.contents || gone.attrs || gone.others)) {
		r = vu_catalog_meta_set(cat, "dropped", 0);
		if (!r)
			r = vu_catalog_commit(cat, &txn);
	}
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	*ret_gone = gone;
	return 0;
}
