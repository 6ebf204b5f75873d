/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db/catalog-run.h"

#include <errno.h>
#include <string.h>

#include "db/catalog-int.h"

#define I(v) ((int64_t)(v))

int vu_catalog_run_begin(struct vu_catalog *cat, struct vu_run *run)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	int r = vu_sql_begin(cat->db, &txn);

	if (!r)
		r = vu_sql_run(cat->db,
			       "INSERT INTO run VALUES (NULL, ?, ?, ?, 0, 0, ?,"
			       " 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
			       "tiii", run->verb, I(run->dry_run), I(run->started_ns),
			       I(run->guests));
	int64_t id = sqlite3_last_insert_rowid(cat->db);

	if (r)
		return vu_catalog_fail(cat, r, NULL);
	r = vu_catalog_commit(cat, &txn);
	if (!r)
		run->id = id;
	return r;
}

static int put_stat(struct vu_catalog *cat, const struct vu_run *run, const struct vu_guest_stat *g)
{
	int r = vu_sql_run(
		cat->db, "INSERT OR REPLACE INTO guest_stat VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"iiiiiiiii", I(g->guest), run->id, I(g->dirs), I(g->unified), I(g->unified_bytes),
		I(g->private), I(g->private_bytes), I(g->other), I(g->saved_bytes));

	if (!r)
		r = vu_sql_run(cat->db, "DELETE FROM guest_skip WHERE guest = ?", "i", I(g->guest));
	/* it has looked at all of the guest; what was broken meanwhile may be behind it */
	if (!r && !run->dry_run)
		r = vu_sql_run(cat->db, "DELETE FROM broken WHERE guest = ? AND broken_ns < ?",
			       "ii", I(g->guest), I(run->started_ns));
	for (int i = 0; !r && i < VU_SKIP_N; i++)
		if (g->skip_files[i])
			r = vu_sql_run(cat->db, "INSERT INTO guest_skip VALUES (?, ?, ?, ?)",
				       "iiii", I(g->guest), I(i), I(g->skip_files[i]),
				       I(g->skip_bytes[i]));
	return r;
}

int vu_catalog_run_end(struct vu_catalog *cat, const struct vu_run *run,
		       const struct vu_guest_stat *stats, size_t n_stats)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	int r = vu_sql_begin(cat->db, &txn);

	if (!r)
		r = vu_sql_run(
			cat->db,
			"UPDATE run SET ended_ns = ?, outcome = ?, guests = ?, files = ?, names = ?,"
			" read_files = ?, read_bytes = ?, hashed_bytes = ?, unified = ?, broken = ?,"
			" saved_bytes = ?, skipped = ?, warnings = ? WHERE id = ?",
			"iiiiiiiiiiiiii", I(run->ended_ns), I(run->outcome), I(run->guests),
			I(run->files), I(run->names), I(run->read_files), I(run->read_bytes),
			I(run->hashed_bytes), I(run->unified), I(run->broken), I(run->saved_bytes),
			I(run->skipped), I(run->warnings), run->id);
	for (size_t i = 0; !r && i < n_stats; i++)
		r = put_stat(cat, run, &stats[i]);
	return r ? vu_catalog_fail(cat, r, NULL) : vu_catalog_commit(cat, &txn);
}

/* Returns 0, VU_CATALOG_DAMAGED or -ENOMEM. */
static int read_run(sqlite3_stmt *s, struct vu_run *run)
{
	uint64_t *const counters[] = {
		&run->guests,	   &run->files,	       &run->names,    &run->read_files,
		&run->read_bytes,  &run->hashed_bytes, &run->unified,  &run->broken,
		&run->saved_bytes, &run->skipped,      &run->warnings,
	};
	bool ok = true;
	_cleanup_free_ char *verb = vu_sql_string(s, 1, &ok);

	if (ok && !verb)
		return -ENOMEM;
	if (!ok || strlen(verb) > VU_RUN_VERB_MAX)
		return VU_CATALOG_DAMAGED;
	strcpy(run->verb, verb);
	run->id = sqlite3_column_int64(s, 0);
	run->dry_run = vu_sql_column(s, 2, 1, &ok);
	run->started_ns = vu_sql_column(s, 3, INT64_MAX, &ok);
	run->ended_ns = vu_sql_column(s, 4, INT64_MAX, &ok);
	run->outcome = (int)vu_sql_column(s, 5, 255, &ok);
	for (size_t i = 0; i < VU_ARRAY_SIZE(counters); i++)
		*counters[i] = vu_sql_column(s, 6 + (int)i, INT64_MAX, &ok);
	return ok ? 0 : VU_CATALOG_DAMAGED;
}

int vu_catalog_runs(struct vu_catalog *cat, uint32_t limit,
		    int (*fn)(void *arg, const struct vu_run *run), void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(cat->db, "SELECT * FROM run ORDER BY id DESC LIMIT ?", &s),
	    rc = SQLITE_DONE;

	if (!r)
		r = vu_sql_bind(s, "i", I(limit));
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct vu_run run = {0};

		r = read_run(s, &run);
		if (!r)
			r = fn(arg, &run);
		else if (r == VU_CATALOG_DAMAGED)
			r = vu_catalog_bad_row(cat, "run");
	}
	return r ? r : vu_catalog_fail(cat, vu_sql_result(cat->db, rc), NULL);
}

static int read_skips(struct vu_catalog *cat, struct vu_guest_stat *g)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	bool ok = true;
	int r = vu_sql_prepare(cat->db, "SELECT skip, files, bytes FROM guest_skip WHERE guest = ?",
			       &s),
	    rc;

	if (!r)
		r = vu_sql_bind(s, "i", I(g->guest));
	if (r)
		return r;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		uint64_t skip = vu_sql_column(s, 0, VU_SKIP_N - 1, &ok);

		g->skip_files[skip] = vu_sql_column(s, 1, INT64_MAX, &ok);
		g->skip_bytes[skip] = vu_sql_column(s, 2, INT64_MAX, &ok);
	}
	return ok ? vu_sql_result(cat->db, rc) : vu_catalog_bad_row(cat, "guest_skip");
}

int vu_catalog_guest_stat(struct vu_catalog *cat, uint32_t guest, struct vu_guest_stat *ret_stat)
{
	struct vu_guest_stat g = {.guest = guest};
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	bool ok = true;
	int r = vu_sql_prepare(cat->db, "SELECT * FROM guest_stat WHERE guest = ?", &s), rc;

	if (!r)
		r = vu_sql_bind(s, "i", I(guest));
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	rc = sqlite3_step(s);
	if (rc == SQLITE_ROW) {
		uint64_t *const v[] = {&g.dirs,		 &g.unified, &g.unified_bytes, &g.private,
				       &g.private_bytes, &g.other,   &g.saved_bytes};

		g.run = sqlite3_column_int64(s, 1);
		for (size_t i = 0; i < VU_ARRAY_SIZE(v); i++)
			*v[i] = vu_sql_column(s, 2 + (int)i, INT64_MAX, &ok);
	}
	r = ok ? vu_sql_result(cat->db, rc) : vu_catalog_bad_row(cat, "guest_stat");
	if (!r)
		r = read_skips(cat, &g);
	if (r)
		return vu_catalog_fail(cat, r, cat->message[0] ? cat->message : NULL);
	*ret_stat = g;
	return 0;
}

int vu_catalog_looked_at(struct vu_catalog *cat, uint32_t guest, uint64_t *ret_ns)
{
	int64_t ns = 0;
	int r = vu_sql_number(cat->db, 0, &ns,
			      "SELECT CASE ended_ns WHEN 0 THEN started_ns ELSE ended_ns END FROM"
			      " guest_stat, run WHERE guest = ? AND run.id = guest_stat.run",
			      "i", I(guest));

	if (r)
		return vu_catalog_fail(cat, r, NULL);
	if (ns < 0)
		return vu_catalog_bad_row(cat, "run");
	*ret_ns = (uint64_t)ns;
	return 0;
}
