/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "db/catalog-find.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "db/catalog-int.h"
#include "model/skip.h"

#define MAX_PATH_BYTES (1 << 20) /* more cannot be true: the walk has a depth limit */

/* The one row of a statement that selects size, mtime, ctime, links, skip, digest. */
static int find_one(struct vu_catalog *cat, sqlite3_stmt *s, const char *table,
		    struct vu_found_inode *ret_inode)
{
	struct vu_found_inode f = {0};
	bool ok = true;
	int rc = sqlite3_step(s);

	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? -ENOENT
					 : vu_catalog_fail(cat, vu_sql_result(cat->db, rc), NULL);
	f.size = vu_sql_column(s, 0, INT64_MAX, &ok);
	f.mtime_ns = vu_sql_bits(s, 1, &ok);
	f.ctime_ns = vu_sql_bits(s, 2, &ok);
	f.n_links = (uint32_t)vu_sql_column(s, 3, UINT32_MAX, &ok);
	f.skip = (uint8_t)vu_sql_column(s, 4, VU_SKIP_N - 1, &ok);
	f.has_digest = sqlite3_column_bytes(s, 5) == VU_DIGEST_BYTES;
	if (f.has_digest)
		memcpy(&f.digest, sqlite3_column_blob(s, 5), sizeof(f.digest));
	if (!ok)
		return vu_catalog_bad_row(cat, table);
	*ret_inode = f;
	return 0;
}

int vu_catalog_find_inode(struct vu_catalog *cat, uint32_t guest, uint64_t ino,
			  struct vu_found_inode *ret_inode)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(
		cat->db,
		"SELECT size, mtime_ns, ctime_ns, n_links, skip, digest FROM inode"
		" LEFT JOIN content ON content.id = content WHERE guest = ? AND ino = ?",
		&s);

	if (!r)
		r = vu_sql_bind(s, "ii", (int64_t)guest, (int64_t)ino);
	return r ? vu_catalog_fail(cat, r, NULL) : find_one(cat, s, "inode", ret_inode);
}

int vu_catalog_find_object(struct vu_catalog *cat, const char *fs_id, uint64_t ino,
			   struct vu_found_inode *ret_inode)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(cat->db,
			       "SELECT size, mtime_ns, ctime_ns, n_links, 0, digest FROM object"
			       " LEFT JOIN content ON content.id = content"
			       " WHERE fs = (SELECT id FROM fs WHERE fs_id = ?) AND ino = ?",
			       &s);

	if (!r)
		r = vu_sql_bind(s, "ti", fs_id, (int64_t)ino);
	return r ? vu_catalog_fail(cat, r, NULL) : find_one(cat, s, "object", ret_inode);
}

/* Puts a directory's path before *path, which is freed. Parents are smaller, so this ends. */
static int prepend_dirs(struct vu_catalog *cat, sqlite3_stmt *up, int64_t guest, int64_t dir,
			char **path)
{
	while (dir) {
		bool ok = true;
		char *longer = NULL;

		sqlite3_reset(up);
		int r = vu_sql_bind(up, "ii", guest, dir);
		int rc = r ? SQLITE_DONE : sqlite3_step(up);

		if (r || rc != SQLITE_ROW)
			return r		   ? r
			       : rc == SQLITE_DONE ? vu_catalog_bad_row(cat, "dir")
						   : vu_sql_result(cat->db, rc);
		int64_t parent = (int64_t)vu_sql_column(up, 0, (uint64_t)dir - 1, &ok);
		const char *name = sqlite3_column_blob(up, 1);
		int n = sqlite3_column_bytes(up, 1);

		if (!ok || n > NAME_MAX || strlen(*path) > MAX_PATH_BYTES)
			return vu_catalog_bad_row(cat, "dir");
		if (!parent)
			return 0;
		if (asprintf(&longer, "%.*s/%s", n, name ? name : "", *path) < 0)
			return -ENOMEM;
		free(*path);
		*path = longer;
		dir = parent;
	}
	return 0;
}

/* The path of the name in column col of s, which lies in dir; *ret is to be freed in any case. */
static int path_of(struct vu_catalog *cat, sqlite3_stmt *s, int col, sqlite3_stmt *up,
		   int64_t guest, int64_t dir, char **ret)
{
	const char *name = sqlite3_column_blob(s, col);
	int n = sqlite3_column_bytes(s, col);

	*ret = NULL;
	if (!name || n > NAME_MAX)
		return vu_catalog_bad_row(cat, "name");
	*ret = strndup(name, (size_t)n);
	return *ret ? prepend_dirs(cat, up, guest, dir, ret) : -ENOMEM;
}

static int prepare_up(struct vu_catalog *cat, sqlite3_stmt **ret)
{
	return vu_sql_prepare(cat->db, "SELECT parent, name FROM dir WHERE guest = ? AND id = ?",
			      ret);
}

/* Streams the names of one guest in a table where ino is one, as paths. */
static int paths_of(struct vu_catalog *cat, const char *sql, int64_t guest, int64_t ino,
		    uint32_t *left, int (*fn)(void *arg, const char *path), void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL, *up = NULL;
	int rc = SQLITE_DONE;
	int r = vu_sql_prepare(cat->db, sql, &s);

	if (!r)
		r = prepare_up(cat, &up);
	if (!r)
		r = vu_sql_bind(s, "ii", guest, ino);
	while (!r && *left && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		_cleanup_free_ char *path = NULL;

		r = path_of(cat, s, 1, up, guest, sqlite3_column_int64(s, 0), &path);
		if (r)
			break;
		--*left;
		r = fn(arg, path);
		if (r)
			return r;
	}
	return vu_catalog_fail(cat, r ? r : vu_sql_result(cat->db, rc),
			       r == VU_CATALOG_DAMAGED ? "table dir holds a value that cannot be"
						       : NULL);
}

int vu_catalog_find_names(struct vu_catalog *cat, uint32_t guest,
			  bool (*wanted)(void *arg, uint64_t ino),
			  int (*fn)(void *arg, uint64_t ino, const char *path), void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL, *up = NULL;
	int rc = SQLITE_DONE;
	int r = vu_sql_prepare(cat->db, "SELECT dir, name, ino FROM uname WHERE guest = ?", &s);

	if (!r)
		r = prepare_up(cat, &up);
	if (!r)
		r = vu_sql_bind(s, "i", (int64_t)guest);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		_cleanup_free_ char *path = NULL;
		uint64_t ino = (uint64_t)sqlite3_column_int64(s, 2);

		if (!wanted(arg, ino))
			continue;
		r = path_of(cat, s, 1, up, guest, sqlite3_column_int64(s, 0), &path);
		if (r)
			break;
		r = fn(arg, ino, path);
		if (r)
			return r;
	}
	return vu_catalog_fail(cat, r ? r : vu_sql_result(cat->db, rc),
			       r == VU_CATALOG_DAMAGED ? "table dir holds a value that cannot be"
						       : NULL);
}

struct content_arg {
	int (*fn)(void *arg, uint32_t guest, const char *path, uint64_t size);
	void *arg;
	uint32_t guest;
	uint64_t size;
};

static int with_content(void *arg, const char *path)
{
	const struct content_arg *c = arg;

	return c->fn(c->arg, c->guest, path, c->size);
}

int vu_catalog_find_content(struct vu_catalog *cat, const struct vu_digest *digest, uint32_t limit,
			    int (*fn)(void *arg, uint32_t guest, const char *path, uint64_t size),
			    void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	struct content_arg c = {.fn = fn, .arg = arg};
	bool ok = true;
	int rc = SQLITE_DONE;
	int r = vu_sql_prepare(cat->db,
			       "SELECT guest, ino, size FROM inode WHERE content ="
			       " (SELECT id FROM content WHERE digest = ?)",
			       &s);

	if (!r)
		r = vu_sql_bind(s, "b", digest, (int)sizeof(*digest));
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	while (!r && limit && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		c.guest = (uint32_t)vu_sql_column(s, 0, UINT32_MAX, &ok);
		c.size = vu_sql_column(s, 2, INT64_MAX, &ok);
		if (!ok)
			return vu_catalog_bad_row(cat, "inode");
		r = paths_of(cat, "SELECT dir, name FROM name WHERE guest = ? AND ino = ?", c.guest,
			     sqlite3_column_int64(s, 1), &limit, with_content, &c);
	}
	return r ? r : vu_catalog_fail(cat, vu_sql_result(cat->db, rc), NULL);
}

int vu_catalog_find_objects(struct vu_catalog *cat, const struct vu_digest *digest,
			    int (*fn)(void *arg, const char *fs_id, uint64_t ino,
				      const struct vu_key *key, uint32_t n_links),
			    void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int rc = SQLITE_DONE;
	int r = vu_sql_prepare(
		cat->db,
		"SELECT fs_id, ino, key, generation, n_links FROM object, fs WHERE"
		" fs.id = fs AND content = (SELECT id FROM content WHERE digest = ?)",
		&s);

	if (!r)
		r = vu_sql_bind(s, "b", digest, (int)sizeof(*digest));
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		bool ok = sqlite3_column_bytes(s, 2) == VU_DIGEST_BYTES;
		_cleanup_free_ char *fs_id = vu_sql_string(s, 0, &ok);
		struct vu_key key = {.generation = (uint32_t)vu_sql_column(s, 3, UINT32_MAX, &ok)};
		uint32_t n_links = (uint32_t)vu_sql_column(s, 4, UINT32_MAX, &ok);
		uint64_t ino = vu_sql_bits(s, 1, &ok);

		if (!ok)
			return vu_catalog_bad_row(cat, "object");
		if (!fs_id)
			return -ENOMEM;
		memcpy(&key.hash, sqlite3_column_blob(s, 2), sizeof(key.hash));
		r = fn(arg, fs_id, ino, &key, n_links);
	}
	return r ? r : vu_catalog_fail(cat, vu_sql_result(cat->db, rc), NULL);
}

int vu_catalog_find_unified(struct vu_catalog *cat, uint32_t guest, uint64_t ino, uint32_t limit,
			    int (*fn)(void *arg, const char *path), void *arg)
{
	return paths_of(cat, "SELECT dir, name FROM uname WHERE guest = ? AND ino = ?",
			(int64_t)guest, (int64_t)ino, &limit, fn, arg);
}

int vu_catalog_find_private(struct vu_catalog *cat, uint32_t guest, uint64_t ino, uint32_t limit,
			    int (*fn)(void *arg, const char *path), void *arg)
{
	return paths_of(cat, "SELECT dir, name FROM name WHERE guest = ? AND ino = ?",
			(int64_t)guest, (int64_t)ino, &limit, fn, arg);
}

int vu_catalog_find_unread(struct vu_catalog *cat,
			   int (*fn)(void *arg, uint32_t guest, uint64_t ino, uint64_t size),
			   void *arg)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int rc = SQLITE_DONE;
	int r = vu_sql_prepare(
		cat->db, "SELECT guest, ino, size FROM inode WHERE content = 0 AND size > 0", &s);

	if (r)
		return vu_catalog_fail(cat, r, NULL);
	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		bool ok = true;
		uint32_t guest = (uint32_t)vu_sql_column(s, 0, UINT32_MAX, &ok);
		uint64_t ino = vu_sql_bits(s, 1, &ok), size = vu_sql_column(s, 2, INT64_MAX, &ok);

		if (!ok)
			return vu_catalog_bad_row(cat, "inode");
		r = fn(arg, guest, ino, size);
	}
	return r ? r : vu_catalog_fail(cat, vu_sql_result(cat->db, rc), NULL);
}
