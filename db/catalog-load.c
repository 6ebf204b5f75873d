/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading. Rows come in key order, so that each table is merged with what is in memory already:
 * directories ascend by number and parents stand before their children; names ascend by directory; the
 * inode of a name is mostly the one after the last name's, and else found by bisection. Every value is
 * checked here before it can become an index, a length or an enum.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "db/catalog-int.h"
#include "db/catalog-tree.h"
#include "model/skip.h"

#define DIR_FLAGS (VU_DIR_FRESH | VU_DIR_EXCLUDED | VU_DIR_FAILED | VU_DIR_OTHER_FS)

/* What loading one guest knows: its numbers in the tree are ranges. */
struct load {
	struct vu_catalog *cat;
	struct vu_tree *t;
	uint16_t guest;
	int64_t id;
	uint32_t dir_first, dir_end;	 /* ascending by row */
	uint32_t inode_first, inode_end; /* ascending by ino */
	uint32_t guess;			 /* inode number that the next name may have */
};

bool vu_catalog_column_name(sqlite3_stmt *s, int col, char name[NAME_MAX + 1])
{
	bool ours = sqlite3_column_type(s, col) == SQLITE_BLOB; /* before it is converted */
	const void *p = sqlite3_column_blob(s, col);
	int n = sqlite3_column_bytes(s, col);

	if (!ours || !p || n < 1 || n > NAME_MAX || memchr(p, 0, (size_t)n) ||
	    memchr(p, '/', (size_t)n))
		return false;
	memcpy(name, p, (size_t)n);
	name[n] = 0;
	return strcmp(name, ".") && strcmp(name, "..");
}

static bool column_digest(sqlite3_stmt *s, int col, struct vu_digest *d)
{
	const void *p = sqlite3_column_blob(s, col);

	if (!p || sqlite3_column_bytes(s, col) != VU_DIGEST_BYTES)
		return false;
	memcpy(d, p, sizeof(*d));
	return true;
}

static int load_contents(struct vu_catalog *cat, struct vu_tree *t)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	struct vu_digest d;
	bool ok = true;
	uint32_t n;
	int r = vu_sql_prepare(cat->db, "SELECT id, digest FROM content ORDER BY id", &s), rc;

	if (r)
		return r;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		uint32_t id = (uint32_t)vu_sql_column(s, 0, UINT32_MAX - 1, &ok);
		uint32_t known = t->contents.n;

		if (!ok || !id || !column_digest(s, 1, &d))
			return vu_catalog_bad_row(cat, "content");
		r = vu_tree_content_intern(t, &d, &n);
		if (r)
			return r;
		if (n != known) /* the same digest twice */
			return vu_catalog_bad_row(cat, "content");
		vu_tree_content(t, n)->db_id = id;
	}
	cat->map.n_contents_loaded = t->contents.n;
	return vu_sql_result(cat->db, rc);
}

static bool column_attr(sqlite3_stmt *s, struct vu_attr *v)
{
	bool ok = true;

	*v = (struct vu_attr){
		.mode = (uint32_t)vu_sql_column(s, 1, UINT16_MAX, &ok),
		.uid = (uint32_t)vu_sql_column(s, 2, UINT32_MAX, &ok),
		.gid = (uint32_t)vu_sql_column(s, 3, UINT32_MAX, &ok),
		.flags = (uint32_t)vu_sql_column(s, 4, UINT32_MAX, &ok),
		.full = vu_sql_column(s, 5, 1, &ok),
		.has_xattrs = vu_sql_column(s, 6, 1, &ok),
		.has_caps = vu_sql_column(s, 7, 1, &ok),
	};
	if (v->has_xattrs && !column_digest(s, 8, &v->xattrs))
		return false;
	return ok;
}

static int load_attrs(struct vu_catalog *cat, struct vu_tree *t)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	struct vu_attr v;
	bool ok = true;
	uint32_t n;
	int r = vu_sql_prepare(cat->db, "SELECT * FROM attr ORDER BY id", &s), rc;

	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		uint32_t *rows = cat->map.attr_row, used = cat->map.n_attrs;
		uint32_t id = (uint32_t)vu_sql_column(s, 0, UINT32_MAX - 1, &ok);

		if (!ok || !id || !column_attr(s, &v))
			return vu_catalog_bad_row(cat, "attr");
		if (!(used & (used - 1))) {
			rows = reallocarray(rows, used ? (size_t)used * 2 : 1, sizeof(*rows));
			if (!rows)
				return -ENOMEM;
			cat->map.attr_row = rows;
		}
		r = vu_attrs_intern(t->attrs, &v, &n);
		if (!r && n != used)
			return vu_catalog_bad_row(cat, "attr");
		rows[used] = id;
		cat->map.n_attrs = cat->map.n_attrs_loaded = used + 1;
	}
	return r ? r : vu_sql_result(cat->db, rc);
}

/* The number of a content's row (0: none): mostly dense, so close to its id. */
static bool content_of(const struct vu_catalog *cat, const struct vu_tree *t, uint64_t id,
		       uint32_t *ret_n)
{
	uint32_t lo = 0, hi = cat->map.n_contents_loaded;

	if (!id) {
		*ret_n = VU_NONE;
		return true;
	}
	/* ids ascend from 1: the number is at most id - 1 */
	if (id < hi)
		hi = (uint32_t)id;
	for (uint32_t mid = hi ? hi - 1 : 0; lo < hi; mid = lo + (hi - lo) / 2) {
		uint32_t at = vu_tree_content(t, mid)->db_id;

		if (at == id) {
			*ret_n = mid;
			return true;
		}
		if (at < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static bool attr_of(const struct vu_catalog *cat, uint64_t id, uint32_t *ret_n)
{
	uint32_t lo = 0, hi = cat->map.n_attrs_loaded;

	if (!id) {
		*ret_n = VU_NONE;
		return true;
	}
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (cat->map.attr_row[mid] < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_n = lo;
	return lo < cat->map.n_attrs_loaded && cat->map.attr_row[lo] == id;
}

/* The directory of this guest with that row, at or after from. */
static bool dir_of(const struct load *l, uint64_t row, uint32_t *ret_dir)
{
	uint32_t lo = l->dir_first, hi = l->dir_end;

	if (row && row < (uint64_t)hi - lo)
		hi = lo + (uint32_t)row;
	for (uint32_t mid = hi > lo ? hi - 1 : lo; lo < hi; mid = lo + (hi - lo) / 2) {
		uint32_t at = vu_tree_dir(l->t, mid)->row;

		if (at == row) {
			*ret_dir = mid;
			return true;
		}
		if (at < row)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static int load_dir(struct load *l, sqlite3_stmt *s)
{
	uint32_t parent = VU_NONE, i;
	char name[NAME_MAX + 1] = "";
	bool ok = true;
	uint32_t row = (uint32_t)vu_sql_column(s, 0, UINT32_MAX - 1, &ok);
	uint64_t above = vu_sql_column(s, 1, UINT32_MAX - 1, &ok);

	if (!ok || !row ||
	    (above && (!dir_of(l, above, &parent) || !vu_catalog_column_name(s, 2, name))) ||
	    (!above && (sqlite3_column_bytes(s, 2) || l->dir_end != l->dir_first)))
		return vu_catalog_bad_row(l->cat, "dir");
	int r = vu_tree_dir_add(l->t, parent, l->guest, name, &i);

	if (r)
		return r;
	struct vu_dir *d = vu_tree_dir(l->t, i);

	d->row = row;
	d->ino = vu_sql_bits(s, 3, &ok);
	d->mtime_ns = vu_sql_bits(s, 4, &ok);
	d->ctime_ns = vu_sql_bits(s, 5, &ok);
	d->flags = (uint8_t)vu_sql_column(s, 6, UINT8_MAX, &ok);
	d->n_unified = (uint32_t)vu_sql_column(s, 7, UINT32_MAX, &ok);
	d->n_other = (uint32_t)vu_sql_column(s, 8, UINT32_MAX, &ok);
	d->n_dirs = (uint32_t)vu_sql_column(s, 9, UINT32_MAX, &ok);
	l->dir_end = i + 1;
	return ok && !(d->flags & ~DIR_FLAGS) ? 0 : vu_catalog_bad_row(l->cat, "dir");
}

static int load_inode(struct load *l, sqlite3_stmt *s)
{
	bool ok = true;
	uint64_t ino = vu_sql_bits(s, 0, &ok), attr = vu_sql_bits(s, 4, &ok),
		 content = vu_sql_bits(s, 5, &ok);
	uint32_t i;
	int r = vu_tree_inode_add(l->t, &i);

	if (r)
		return r;
	struct vu_inode *n = vu_tree_inode(l->t, i);

	n->ino = ino;
	n->size = vu_sql_column(s, 1, INT64_MAX, &ok);
	n->mtime_ns = vu_sql_bits(s, 2, &ok);
	n->ctime_ns = vu_sql_bits(s, 3, &ok);
	n->n_links = vu_tree_links((uint32_t)vu_sql_column(s, 6, UINT32_MAX, &ok));
	n->skip = (uint8_t)vu_sql_column(s, 7, VU_SKIP_N - 1, &ok);
	n->guest = l->guest;
	l->inode_end = i + 1;
	if (!ok || !ino || !attr_of(l->cat, attr, &n->attr) ||
	    !content_of(l->cat, l->t, content, &n->content))
		return vu_catalog_bad_row(l->cat, "inode");
	return 0;
}

/* SQLite ordered them as signed numbers, so they are compared as such. */
static bool inode_of(struct load *l, int64_t ino, uint32_t *ret_inode)
{
	uint32_t lo = l->inode_first, hi = l->inode_end, mid = l->guess;

	if (mid < lo || mid >= hi)
		mid = lo;
	for (; lo < hi; mid = lo + (hi - lo) / 2) {
		int64_t at = (int64_t)vu_tree_inode(l->t, mid)->ino;

		if (at == ino) {
			*ret_inode = mid;
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

/* *dir moves on with the rows. Names of no directory can only be leftovers of damage. */
static int load_name(struct load *l, sqlite3_stmt *s, uint32_t *dir)
{
	bool ok = true;
	uint64_t row = vu_sql_column(s, 0, UINT32_MAX, &ok), ino = vu_sql_bits(s, 2, &ok);
	char name[NAME_MAX + 1];
	uint32_t inode, n;

	while (*dir < l->dir_end && vu_tree_dir(l->t, *dir)->row < row)
		++*dir;
	if (!ok || *dir == l->dir_end || vu_tree_dir(l->t, *dir)->row != row ||
	    !vu_catalog_column_name(s, 1, name))
		return vu_catalog_bad_row(l->cat, "name");
	if (!inode_of(l, (int64_t)ino, &inode)) {
		vu_tree_dir(l->t, *dir)->flags |= VU_DIR_FAILED;
		return 0;
	}
	return vu_tree_name_add(l->t, *dir, name, inode, &n);
}

static int load_rows(struct load *l, const char *sql, int (*fn)(struct load *, sqlite3_stmt *))
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(l->cat->db, sql, &s), rc = SQLITE_DONE;

	if (!r)
		r = vu_sql_bind(s, "i", l->id);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = fn(l, s);
	return r ? r : vu_sql_result(l->cat->db, rc);
}

static int load_names(struct load *l)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	uint32_t dir = l->dir_first;
	int r = vu_sql_prepare(l->cat->db,
			       "SELECT dir, name, ino FROM name WHERE guest = ?"
			       " ORDER BY dir, name",
			       &s),
	    rc = SQLITE_DONE;

	if (!r)
		r = vu_sql_bind(s, "i", l->id);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = load_name(l, s, &dir);
	return r ? r : vu_sql_result(l->cat->db, rc);
}

static int load_guest(struct vu_catalog *cat, const struct vu_guest *g, uint16_t index,
		      struct vu_tree *t)
{
	struct load l = {
		.cat = cat,
		.t = t,
		.guest = index,
		.id = g->id,
		.dir_first = t->dirs.n,
		.dir_end = t->dirs.n,
		.inode_first = t->inodes.n,
		.inode_end = t->inodes.n,
	};
	int r = load_rows(&l,
			  "SELECT id, parent, name, ino, mtime_ns, ctime_ns, flags, n_unified,"
			  " n_other, n_dirs FROM dir WHERE guest = ? ORDER BY id",
			  load_dir);

	if (!r)
		r = load_rows(&l,
			      "SELECT ino, size, mtime_ns, ctime_ns, attr, content, n_links, skip"
			      " FROM inode WHERE guest = ? ORDER BY ino",
			      load_inode);
	return r ? r : load_names(&l);
}

static void forget_map(struct vu_catalog *cat)
{
	for (size_t i = 0; i < VU_ARRAY_SIZE(cat->map.fs_id); i++)
		free(cat->map.fs_id[i]);
	free(cat->map.attr_row);
	memset(&cat->map, 0, sizeof(cat->map));
}

int vu_catalog_load_tree(struct vu_catalog *cat, const struct vu_guests *guests, struct vu_tree *t)
{
	if (t->dirs.n || t->inodes.n || t->contents.n || vu_attrs_count(t->attrs) ||
	    guests->n > UINT16_MAX)
		return -EINVAL;
	cat->message[0] = 0;
	forget_map(cat);
	/* one transaction: all tables as they were at one moment */
	int r = vu_sql_exec(cat->db, "BEGIN");

	if (r)
		return vu_catalog_fail(cat, r, NULL);
	r = load_contents(cat, t);
	if (!r)
		r = load_attrs(cat, t);
	for (size_t i = 0; !r && i < guests->n; i++)
		if (guests->v[i].id)
			r = load_guest(cat, &guests->v[i], (uint16_t)i, t);
	if (r)
		vu_catalog_fail(cat, r, cat->message[0] ? cat->message : NULL);
	int e = vu_sql_exec(cat->db, "COMMIT");

	if (!r && e)
		return vu_catalog_fail(cat, e, NULL);
	return r == VU_CATALOG_DAMAGED ? vu_catalog_fail(cat, r, cat->message) : r;
}

static int load_object(struct vu_catalog *cat, sqlite3_stmt *s, uint16_t fs, struct vu_tree *t,
		       struct vu_inomap *map)
{
	bool ok = true;
	uint64_t attr = vu_sql_bits(s, 6, &ok), content = vu_sql_bits(s, 7, &ok);
	uint32_t i, key;
	int r = vu_tree_inode_add(t, &i);

	if (!r)
		r = vu_chunks_add(&t->objects, 1, &key);
	if (r)
		return r;
	struct vu_inode *n = vu_tree_inode(t, i);
	struct vu_key *k = vu_tree_key(t, key);

	n->ino = vu_sql_bits(s, 0, &ok);
	k->generation = (uint32_t)vu_sql_column(s, 2, UINT32_MAX, &ok);
	n->size = vu_sql_column(s, 3, INT64_MAX, &ok);
	n->mtime_ns = vu_sql_bits(s, 4, &ok);
	n->ctime_ns = vu_sql_bits(s, 5, &ok);
	n->n_links = vu_tree_links((uint32_t)vu_sql_column(s, 8, UINT32_MAX, &ok));
	n->key = key;
	n->guest = fs;
	n->fs = (uint8_t)fs;
	n->flags = VU_INODE_OBJECT;
	if (!ok || !n->ino || !column_digest(s, 1, &k->hash) || !attr_of(cat, attr, &n->attr) ||
	    !content_of(cat, t, content, &n->content))
		return vu_catalog_bad_row(cat, "object");
	return vu_inomap_set(map, n->ino, i);
}

int vu_catalog_load_objects(struct vu_catalog *cat, const char *fs_id, uint16_t fs_index,
			    struct vu_tree *t, struct vu_inomap *map)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int rc = SQLITE_DONE;

	if (fs_index >= VU_ARRAY_SIZE(cat->map.fs_id))
		return -EOVERFLOW;
	free(cat->map.fs_id[fs_index]);
	cat->map.fs_id[fs_index] = strdup(fs_id);
	if (!cat->map.fs_id[fs_index])
		return -ENOMEM;
	int r = vu_sql_prepare(
		cat->db,
		"SELECT ino, key, generation, size, mtime_ns, ctime_ns, attr, content,"
		" n_links FROM object WHERE fs = (SELECT id FROM fs WHERE fs_id = ?)"
		" ORDER BY ino",
		&s);

	if (!r)
		r = vu_sql_bind(s, "t", fs_id);
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = load_object(cat, s, fs_index, t, map);
	if (r)
		return r;
	return vu_catalog_fail(cat, vu_sql_result(cat->db, rc), NULL);
}

int vu_catalog_load_unified(struct vu_catalog *cat, const struct vu_guests *guests,
			    int (*fn)(void *arg, uint16_t guest, uint32_t dir, uint64_t ino),
			    void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(cat->db, "SELECT ino, dir FROM uname WHERE guest = ?", &s), rc;

	for (size_t i = 0; !r && i < guests->n; i++) {
		r = vu_sql_bind(s, "i", (int64_t)guests->v[i].id);
		if (r)
			break;
		while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
			bool ok = true;
			uint64_t ino = vu_sql_bits(s, 0, &ok);
			uint32_t dir = (uint32_t)vu_sql_column(s, 1, UINT32_MAX, &ok);

			if (!ino || !ok)
				return vu_catalog_bad_row(cat, "uname");
			r = fn(arg, (uint16_t)i, dir, ino);
			if (r)
				return r;
		}
		r = vu_sql_result(cat->db, rc);
		sqlite3_reset(s);
	}
	return vu_catalog_fail(cat, r, NULL);
}
