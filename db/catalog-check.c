/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db/catalog-check.h"

#include <errno.h>
#include <string.h>

#include "db/catalog-int.h"

int vu_catalog_check(struct vu_catalog *cat)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(cat->db, "PRAGMA quick_check(1)", &s);

	if (r)
		return vu_catalog_fail(cat, r, NULL);
	int rc = sqlite3_step(s);

	if (rc != SQLITE_ROW)
		return vu_catalog_fail(
			cat, rc == SQLITE_DONE ? VU_CATALOG_DAMAGED : vu_sql_result(cat->db, rc),
			NULL);
	const char *says = (const char *)sqlite3_column_text(s, 0);

	if (!says)
		return -ENOMEM;
	return strcmp(says, "ok") ? vu_catalog_fail(cat, VU_CATALOG_DAMAGED, says) : 0;
}

int vu_catalog_most_links(struct vu_catalog *cat, const char *fs_id, uint64_t near,
			  uint64_t *ret_most, uint64_t *ret_n_near)
{
	int64_t most = 0, n = 0;
	int r = vu_sql_number(cat->db, 0, &most,
			      "SELECT max(n_links) FROM object WHERE fs ="
			      " (SELECT id FROM fs WHERE fs_id = ?)",
			      "t", fs_id);

	if (!r)
		r = vu_sql_number(cat->db, 0, &n,
				  "SELECT count(*) FROM object WHERE fs ="
				  " (SELECT id FROM fs WHERE fs_id = ?) AND n_links >= ?",
				  "ti", fs_id, (int64_t)near);
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	*ret_most = most < 0 ? 0 : (uint64_t)most;
	*ret_n_near = (uint64_t)n;
	return 0;
}
