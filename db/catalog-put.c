/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db/catalog-put.h"

#include <errno.h>
#include <string.h>

#define DIR_FLAGS_SAVED (VU_DIR_FRESH | VU_DIR_EXCLUDED | VU_DIR_FAILED | VU_DIR_OTHER_FS)

static const char *const sql[N_STMT] = {
	[DEL_DIR] = "DELETE FROM dir WHERE guest = ? AND id = ?",
	[DEL_DIR_NAMES] = "DELETE FROM name WHERE guest = ? AND dir = ?",
	[DEL_DIR_UNAMES] = "DELETE FROM uname WHERE guest = ? AND dir = ?",
	[DEL_NAME] = "DELETE FROM name WHERE guest = ? AND dir = ? AND name = ?",
	[DEL_UNAME] = "DELETE FROM uname WHERE guest = ? AND dir = ? AND name = ?",
	[DEL_INODE] = "DELETE FROM inode WHERE guest = ? AND ino = ?",
	[DEL_OBJECT] = "DELETE FROM object WHERE fs = ? AND ino = ?",
	[PUT_CONTENT] = "INSERT INTO content VALUES (?, ?)",
	[PUT_ATTR] = "INSERT INTO attr VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[PUT_DIR] = "INSERT OR REPLACE INTO dir VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[PUT_NAME] = "INSERT OR REPLACE INTO name VALUES (?, ?, ?, ?)",
	[PUT_UNAME] = "INSERT OR REPLACE INTO uname VALUES (?, ?, ?, ?)",
	[GET_UNAMES] = "SELECT name, ino FROM uname WHERE guest = ? AND dir = ? ORDER BY name",
	[PUT_INODE] = "INSERT OR REPLACE INTO inode VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[PUT_OBJECT] = "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
};

void vu_save_done(struct vu_save *s)
{
	for (int i = 0; i < N_STMT; i++)
		sqlite3_finalize(s->stmt[i]);
	free(s->unified_head);
	free(s->unified_next);
	free(s->names.v);
	free(s->unames.v);
}

/* The statement with its first parameters, numbers all, bound. */
int vu_save_get(struct vu_save *s, enum vu_save_stmt which, int64_t a, int64_t b,
		sqlite3_stmt **ret_s)
{
	if (!s->stmt[which]) {
		int r = vu_sql_prepare(s->cat->db, sql[which], &s->stmt[which]);

		if (r)
			return r;
	}
	*ret_s = s->stmt[which];
	sqlite3_bind_int64(*ret_s, 1, a);
	sqlite3_bind_int64(*ret_s, 2, b);
	return 0;
}

int vu_save_run(struct vu_save *s, enum vu_save_stmt which, int64_t a, int64_t b)
{
	sqlite3_stmt *q;
	int r = vu_save_get(s, which, a, b, &q);

	return r ? r : vu_sql_done(q);
}

int64_t vu_save_guest(const struct vu_save *s, uint16_t guest)
{
	return s->guests->v[guest].id;
}

int vu_save_contents(struct vu_save *s)
{
	int64_t id = -1;

	for (uint32_t i = 0; i < s->t->contents.n; i++) {
		struct vu_content *c = vu_tree_content(s->t, i);
		sqlite3_stmt *q;
		int r = 0;

		if (c->db_id)
			continue;
		if (id < 0)
			r = vu_sql_number(s->cat->db, 0, &id, "SELECT max(id) FROM content", "");
		if (!r && ++id >= UINT32_MAX - 1)
			r = -EOVERFLOW;
		if (!r)
			r = vu_save_get(s, PUT_CONTENT, id, 0, &q);
		if (r)
			return r;
		sqlite3_bind_blob(q, 2, &c->digest, sizeof(c->digest), SQLITE_STATIC);
		r = vu_sql_done(q);
		if (r)
			return r;
		c->db_id = (uint32_t)id;
	}
	return 0;
}

static int save_attr(struct vu_save *s, uint32_t n, int64_t id)
{
	const struct vu_attr *v = vu_attrs_at(s->t->attrs, n);
	sqlite3_stmt *q;
	int r = vu_save_get(s, PUT_ATTR, id, v->mode, &q);

	if (r)
		return r;
	sqlite3_bind_int64(q, 3, v->uid);
	sqlite3_bind_int64(q, 4, v->gid);
	sqlite3_bind_int64(q, 5, v->flags);
	sqlite3_bind_int64(q, 6, v->full);
	sqlite3_bind_int64(q, 7, v->has_xattrs);
	sqlite3_bind_int64(q, 8, v->has_caps);
	if (v->has_xattrs)
		sqlite3_bind_blob(q, 9, &v->xattrs, sizeof(v->xattrs), SQLITE_STATIC);
	else
		sqlite3_bind_null(q, 9);
	return vu_sql_done(q);
}

int vu_save_attrs(struct vu_save *s)
{
	struct vu_catalog_map *m = &s->cat->map;
	uint32_t n = vu_attrs_count(s->t->attrs);
	int64_t id;

	if (n <= m->n_attrs)
		return 0;
	/* the loader grows it by powers of two, and is through */
	uint32_t *rows = reallocarray(m->attr_row, n, sizeof(*rows));
	int r = rows ? 0 : -ENOMEM;

	if (rows)
		m->attr_row = rows;
	if (!r)
		r = vu_sql_number(s->cat->db, 0, &id, "SELECT max(id) FROM attr", "");
	for (; !r && m->n_attrs < n; m->n_attrs++) {
		if (++id >= UINT32_MAX - 1)
			return -EOVERFLOW;
		m->attr_row[m->n_attrs] = (uint32_t)id;
		r = save_attr(s, m->n_attrs, id);
	}
	return r;
}

/* The row of a file system, made where it is missing. */
int vu_save_fs(struct vu_save *s, uint8_t fs, int64_t *ret_row)
{
	const char *fs_id = s->cat->map.fs_id[fs];
	int r = 0;

	if (!fs_id)
		return -EINVAL;
	if (!s->fs_row[fs]) {
		r = vu_sql_run(s->cat->db, "INSERT OR IGNORE INTO fs (fs_id) VALUES (?)", "t",
			       fs_id);
		if (!r)
			r = vu_sql_number(s->cat->db, 0, &s->fs_row[fs],
					  "SELECT id FROM fs WHERE fs_id = ?", "t", fs_id);
	}
	*ret_row = s->fs_row[fs];
	return r;
}

int vu_save_entries(struct vu_save *s, enum vu_save_stmt which, const struct vu_dir *d,
		    const struct vu_entries *e)
{
	sqlite3_stmt *q;
	int r = e->n ? vu_save_get(s, which, vu_save_guest(s, d->guest), d->row, &q) : 0;

	for (uint32_t i = 0; !r && i < e->n; i++) {
		sqlite3_bind_blob(q, 3, e->v[i].name, (int)strlen(e->v[i].name), SQLITE_STATIC);
		sqlite3_bind_int64(q, 4, (int64_t)e->v[i].ino);
		r = vu_sql_done(q);
	}
	return r;
}

int vu_save_dir(struct vu_save *s, const struct vu_dir *d)
{
	const char *name = vu_tree_text(s->t, d->name);
	sqlite3_stmt *q;
	int r = vu_save_get(s, PUT_DIR, vu_save_guest(s, d->guest), d->row, &q);

	if (r)
		return r;
	sqlite3_bind_int64(q, 3, d->parent == VU_NONE ? 0 : vu_tree_dir(s->t, d->parent)->row);
	sqlite3_bind_blob(q, 4, name, (int)strlen(name), SQLITE_STATIC);
	sqlite3_bind_int64(q, 5, (int64_t)d->ino);
	sqlite3_bind_int64(q, 6, (int64_t)d->mtime_ns);
	sqlite3_bind_int64(q, 7, (int64_t)d->ctime_ns);
	sqlite3_bind_int64(q, 8, d->flags & DIR_FLAGS_SAVED);
	sqlite3_bind_int64(q, 9, d->n_unified);
	sqlite3_bind_int64(q, 10, d->n_other);
	sqlite3_bind_int64(q, 11, d->n_dirs);
	return vu_sql_done(q);
}

int vu_save_inode(struct vu_save *s, const struct vu_inode *n)
{
	sqlite3_stmt *q;
	int r = vu_save_get(s, PUT_INODE, vu_save_guest(s, n->guest), (int64_t)n->ino, &q);

	if (r)
		return r;
	sqlite3_bind_int64(q, 3, (int64_t)n->size);
	sqlite3_bind_int64(q, 4, (int64_t)n->mtime_ns);
	sqlite3_bind_int64(q, 5, (int64_t)n->ctime_ns);
	sqlite3_bind_int64(q, 6, n->attr == VU_NONE ? 0 : s->cat->map.attr_row[n->attr]);
	sqlite3_bind_int64(q, 7,
			   n->content == VU_NONE ? 0 : vu_tree_content(s->t, n->content)->db_id);
	sqlite3_bind_int64(q, 8, n->n_links);
	sqlite3_bind_int64(q, 9, n->skip);
	if (n->fate == VU_CHANGED && (n->flags & VU_INODE_READ || n->content == VU_NONE))
		s->dropped++;
	return vu_sql_done(q);
}

int vu_save_object(struct vu_save *s, const struct vu_inode *n)
{
	const struct vu_key *key;
	sqlite3_stmt *q;
	int64_t fs;

	if (n->key >= s->t->objects.n)
		return -EINVAL;
	key = vu_tree_key(s->t, n->key);
	int r = vu_save_fs(s, n->fs, &fs);

	if (!r)
		r = vu_save_get(s, PUT_OBJECT, fs, (int64_t)n->ino, &q);
	if (r)
		return r;
	sqlite3_bind_blob(q, 3, &key->hash, sizeof(key->hash), SQLITE_STATIC);
	sqlite3_bind_int64(q, 4, key->generation);
	sqlite3_bind_int64(q, 5, (int64_t)n->size);
	sqlite3_bind_int64(q, 6, (int64_t)n->mtime_ns);
	sqlite3_bind_int64(q, 7, (int64_t)n->ctime_ns);
	sqlite3_bind_int64(q, 8, n->attr == VU_NONE ? 0 : s->cat->map.attr_row[n->attr]);
	sqlite3_bind_int64(q, 9,
			   n->content == VU_NONE ? 0 : vu_tree_content(s->t, n->content)->db_id);
	sqlite3_bind_int64(q, 10, n->n_links);
	return vu_sql_done(q);
}
