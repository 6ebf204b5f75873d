/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db/catalog-broken.h"

#include <string.h>

#include "db/catalog-int.h"

int vu_catalog_broken_add(struct vu_catalog *cat, uint32_t guest, const char *const *paths,
			  size_t n, uint64_t ns)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	int r = vu_sql_begin(cat->db, &txn);

	for (size_t i = 0; !r && i < n; i++)
		r = vu_sql_run(cat->db,
			       "INSERT OR REPLACE INTO broken SELECT id, CAST(? AS BLOB), ?"
			       " FROM guest WHERE id = ?",
			       "tii", paths[i], (int64_t)ns, (int64_t)guest);
	return r ? vu_catalog_fail(cat, r, NULL) : vu_catalog_commit(cat, &txn);
}

int vu_catalog_broken_count(struct vu_catalog *cat, uint32_t guest, uint64_t *ret_n)
{
	int64_t n = 0;
	int r = vu_sql_number(cat->db, 0, &n, "SELECT count(*) FROM broken WHERE guest = ?", "i",
			      (int64_t)guest);

	*ret_n = (uint64_t)n;
	return vu_catalog_fail(cat, r, NULL);
}
