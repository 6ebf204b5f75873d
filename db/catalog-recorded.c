/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three SELECTs in key order, merged as catalog-load.c does: the directory of a name is the one that the rows
 * have come to, its inode mostly the one after the last name's. Whatever is odd is left to that one, which
 * knows what to do with it.
 */
#include "db/catalog-recorded.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "db/catalog-int.h"
#include "model/skip.h"

struct load {
	struct vu_catalog *cat;
	const struct vu_recorded_attrs *attrs;
	struct vu_recorded *r;
	size_t dir;   /* that the names have come to */
	size_t guess; /* inode that the next name may have */
};

int vu_catalog_recorded_attrs(struct vu_catalog *cat, struct vu_recorded_attrs *ret)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	bool ok = true;
	int r = vu_sql_prepare(cat->db, "SELECT id, mode, uid, gid FROM attr ORDER BY id", &s),
	    rc = SQLITE_DONE;

	*ret = (struct vu_recorded_attrs){0};
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		r = vu_recorded_grow(&ret->v, sizeof(*ret->v), ret->n, 1, &ret->max);
		if (r)
			break;
		ret->v[ret->n++] = (struct vu_recorded_attr){
			.row = vu_sql_column(s, 0, UINT32_MAX - 1, &ok),
			.mode = (uint32_t)vu_sql_column(s, 1, UINT16_MAX, &ok),
			.uid = (uint32_t)vu_sql_column(s, 2, UINT32_MAX, &ok),
			.gid = (uint32_t)vu_sql_column(s, 3, UINT32_MAX, &ok),
		};
	}
	if (!r)
		r = vu_sql_result(cat->db, rc);
	return r ? r : ok ? 0 : VU_CATALOG_DAMAGED;
}

void vu_recorded_attrs_done(struct vu_recorded_attrs *a)
{
	free(a->v);
	*a = (struct vu_recorded_attrs){0};
}

static int add_text(struct vu_recorded *r, const char *name, uint32_t *ret)
{
	size_t n = strlen(name) + 1;
	int e = vu_recorded_grow(&r->text, 1, r->n_text, n, &r->max_text);

	if (e)
		return e;
	memcpy(r->text + r->n_text, name, n);
	*ret = (uint32_t)r->n_text;
	r->n_text += n;
	return 0;
}

/* ---- directories ---- */

static bool dir_of(const struct load *l, uint64_t row, uint32_t *ret)
{
	size_t lo = 0, hi = l->r->n_dirs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (l->r->dirs[mid].row < row)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = (uint32_t)lo;
	return lo < l->r->n_dirs && l->r->dirs[lo].row == row;
}

/* One is the root, and it comes first. */
static bool chain_dir(struct load *l, uint64_t above, struct vu_recorded_dir *d)
{
	d->parent = VU_NONE;
	if (!above)
		return !l->r->n_dirs;
	if (!dir_of(l, above, &d->parent))
		return false;
	d->sibling = l->r->dirs[d->parent].first_child;
	l->r->dirs[d->parent].first_child = (uint32_t)l->r->n_dirs;
	return true;
}

static int load_dir(struct load *l, sqlite3_stmt *s)
{
	struct vu_recorded *r = l->r;
	char name[NAME_MAX + 1] = "";
	bool ok = true;
	uint64_t row = vu_sql_column(s, 0, UINT32_MAX - 1, &ok);
	uint64_t above = vu_sql_column(s, 1, UINT32_MAX - 1, &ok);
	struct vu_recorded_dir d = {
		.row = (uint32_t)row,
		.ino = vu_sql_bits(s, 3, &ok),
		.mtime_ns = vu_sql_bits(s, 4, &ok),
		.ctime_ns = vu_sql_bits(s, 5, &ok),
		.first_child = VU_NONE,
		.sibling = VU_NONE,
		.flags = (uint8_t)vu_sql_column(s, 6, UINT8_MAX, &ok),
		.n_unified = (uint32_t)vu_sql_column(s, 7, UINT32_MAX, &ok),
		.n_other = (uint32_t)vu_sql_column(s, 8, UINT32_MAX, &ok),
	};

	if (!ok || !row || (above && !vu_catalog_column_name(s, 2, name)) ||
	    !chain_dir(l, above, &d))
		return VU_RECORDED_UNFIT;
	int e = add_text(r, name, &d.name);

	if (!e)
		e = vu_recorded_grow(&r->dirs, sizeof(*r->dirs), r->n_dirs, 1, &r->max_dirs);
	if (e)
		return e;
	r->dirs[r->n_dirs++] = d;
	return 0;
}

/* ---- inodes ---- */

static const struct vu_recorded_attr *attr_of(const struct load *l, uint64_t row)
{
	size_t lo = 0, hi = l->attrs->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (l->attrs->v[mid].row < row)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < l->attrs->n && l->attrs->v[lo].row == row ? &l->attrs->v[lo] : NULL;
}

static int load_inode(struct load *l, sqlite3_stmt *s)
{
	struct vu_recorded *r = l->r;
	bool ok = true;
	const struct vu_recorded_attr *a = attr_of(l, vu_sql_bits(s, 4, &ok));
	int e = vu_recorded_grow(&r->inodes, sizeof(*r->inodes), r->n_inodes, 1, &r->max_inodes);

	if (e || !a)
		return e ? e : VU_RECORDED_UNFIT;
	r->inodes[r->n_inodes++] = (struct vu_recorded_inode){
		.ino = vu_sql_bits(s, 0, &ok),
		.size = vu_sql_column(s, 1, INT64_MAX, &ok),
		.mtime_ns = vu_sql_bits(s, 2, &ok),
		.ctime_ns = vu_sql_bits(s, 3, &ok),
		.mode = a->mode,
		.uid = a->uid,
		.gid = a->gid,
		.n_links = vu_tree_links((uint32_t)vu_sql_column(s, 5, UINT32_MAX, &ok)),
		.skip = (uint8_t)vu_sql_column(s, 6, VU_SKIP_N - 1, &ok),
	};
	return ok ? 0 : VU_RECORDED_UNFIT;
}

/* SQLite ordered them as signed numbers, so they are compared as such. */
static bool inode_of(struct load *l, int64_t ino, uint32_t *ret)
{
	size_t lo = 0, hi = l->r->n_inodes, mid = l->guess < hi ? l->guess : 0;

	for (; lo < hi; mid = lo + (hi - lo) / 2) {
		int64_t at = (int64_t)l->r->inodes[mid].ino;

		if (at == ino) {
			*ret = (uint32_t)mid;
			l->guess = mid + 1;
			return true;
		}
		if (at < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* ---- names ---- */

static int load_name(struct load *l, sqlite3_stmt *s)
{
	struct vu_recorded *r = l->r;
	bool ok = true;
	uint64_t row = vu_sql_column(s, 0, UINT32_MAX, &ok), ino = vu_sql_bits(s, 2, &ok);
	char name[NAME_MAX + 1];
	struct vu_recorded_file f = {0};

	while (l->dir < r->n_dirs && r->dirs[l->dir].row < row)
		l->dir++;
	if (!ok || l->dir == r->n_dirs || r->dirs[l->dir].row != row ||
	    !vu_catalog_column_name(s, 1, name) || !inode_of(l, (int64_t)ino, &f.inode))
		return VU_RECORDED_UNFIT;
	int e = add_text(r, name, &f.name);

	if (!e)
		e = vu_recorded_grow(&r->files, sizeof(*r->files), r->n_files, 1, &r->max_files);
	if (e)
		return e;
	struct vu_recorded_dir *d = &r->dirs[l->dir];

	if (!d->n_files++)
		d->first_file = (uint32_t)r->n_files;
	r->files[r->n_files++] = f;
	r->inodes[f.inode].n_names++;
	return 0;
}

static int load_rows(struct load *l, const char *sql, int64_t guest,
		     int (*fn)(struct load *, sqlite3_stmt *))
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(l->cat->db, sql, &s), rc = SQLITE_DONE;

	if (!r)
		r = vu_sql_bind(s, "i", guest);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = fn(l, s);
	return r ? r : vu_sql_result(l->cat->db, rc);
}

int vu_catalog_recorded(struct vu_catalog *cat, uint32_t guest, const struct vu_recorded_attrs *a,
			struct vu_recorded *r)
{
	struct load l = {.cat = cat, .attrs = a, .r = r};
	int e = load_rows(&l,
			  "SELECT id, parent, name, ino, mtime_ns, ctime_ns, flags, n_unified,"
			  " n_other FROM dir WHERE guest = ? ORDER BY id",
			  guest, load_dir);

	if (!e)
		e = load_rows(&l,
			      "SELECT ino, size, mtime_ns, ctime_ns, attr, n_links, skip"
			      " FROM inode WHERE guest = ? ORDER BY ino",
			      guest, load_inode);
	if (!e)
		e = load_rows(&l,
			      "SELECT dir, name, ino FROM name WHERE guest = ? ORDER BY dir, name",
			      guest, load_name);
	return e;
}
