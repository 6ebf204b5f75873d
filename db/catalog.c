/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The catalog's file. The tables and why they are as they are: db/schema/0001-initial.sql.
 *
 * Modes. For writing: WAL with synchronous=NORMAL, so that readers go on beside the one writer, and a
 * commit costs no wait; at the end the WAL is moved into the file, which then stands alone. A run's
 * save is one transaction. Power fails before the checkpoint: the last commits may be missing (a cache
 * forgets, the next run looks again), never half there. SQLite 3.40 ignores a failing fsync of the
 * directory: a new file is made, and its directory synced, by us before SQLite sees it.
 *
 * For reading: where no WAL lies beside the file nobody has it open for writing, and it is opened
 * immutable: no locks, no side files, also on a read-only file system and for who cannot write. A
 * writer that comes later and checkpoints changes pages under such a reader: what then looks like
 * damage is reported as -EBUSY, since the file's mtime has changed; and so is a list of guests that may be
 * neither the old nor the new one. Else it is opened beside the writer.
 *
 * Damage. The file is input like any other: cell_size_check, bounded lengths, no triggers, no views, no mmap
 * (a truncated file would be SIGBUS), and every value is checked for its range by who reads it. The
 * header's application_id says that it is ours, user_version which schema it has. A guest's row, which
 * says what nothing else in the farm says, has a seal (db/catalog-guest.c). What cannot be used is
 * replaced by db/catalog-rebuild.c.
 *
 * Garbage. Rows of content and attr outlive their last reference; the save counts the references it
 * drops in meta.dropped, and vu_catalog_close() removes them once that exceeds SWEEP_MIN and half of
 * all contents. Only there, since a loaded tree knows their row numbers.
 */
#include "db/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "db/catalog-int.h"
#include "db/schema.h"

#define SWEEP_MIN 4096

_Static_assert((int)VU_SQL_DAMAGED == (int)VU_CATALOG_DAMAGED, "forwarded as it is");

int vu_catalog_fail(struct vu_catalog *cat, int r, const char *text)
{
	if (!r)
		return 0;
	/* SQLite's own words say more of damage and of locks, and less of what the kernel said */
	if (!text)
		text = r < 0 && r != -EBUSY ? strerror(-r) : sqlite3_errmsg(cat->db);
	if (text != cat->message)
		snprintf(cat->message, sizeof(cat->message), "%s", text);
	return r == VU_CATALOG_DAMAGED && vu_catalog_check_still(cat) ? -EBUSY : r;
}

int vu_catalog_check_still(struct vu_catalog *cat)
{
	struct stat st;

	if (!cat->immutable)
		return 0;
	if (!stat(cat->path, &st) && st.st_ino == cat->st.st_ino && st.st_size == cat->st.st_size &&
	    !memcmp(&st.st_mtim, &cat->st.st_mtim, sizeof(st.st_mtim)))
		return 0;
	snprintf(cat->message, sizeof(cat->message), "it was written while it was read");
	return -EBUSY;
}

int vu_catalog_bad_row(struct vu_catalog *cat, const char *table)
{
	char text[128];

	snprintf(text, sizeof(text), "table %s holds a value that cannot be", table);
	return vu_catalog_fail(cat, VU_CATALOG_DAMAGED, text);
}

bool vu_catalog_is_in_place(const struct vu_catalog *cat)
{
	struct stat st;

	return !stat(cat->path, &st) && st.st_ino == cat->st.st_ino && st.st_dev == cat->st.st_dev;
}

const char *vu_catalog_message(const struct vu_catalog *cat)
{
	return cat->message;
}

int vu_catalog_commit(struct vu_catalog *cat, sqlite3 **txn)
{
	int r = vu_sql_commit(txn);

	if (!r)
		cat->written = true;
	return vu_catalog_fail(cat, r, NULL);
}

int vu_catalog_meta_get(struct vu_catalog *cat, const char *key, int64_t *ret_v)
{
	int r = vu_sql_number(cat->db, 0, ret_v, "SELECT value FROM meta WHERE key = ?", "t", key);

	return vu_catalog_fail(cat, r, NULL);
}

int vu_catalog_meta_set(struct vu_catalog *cat, const char *key, int64_t v)
{
	int r = vu_sql_run(cat->db, "INSERT OR REPLACE INTO meta VALUES (?, ?)", "ti", key, v);

	return vu_catalog_fail(cat, r, NULL);
}

int vu_catalog_sync_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

	if (!dir)
		return -ENOMEM;
	_cleanup_fd_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) ? -errno : 0;
}

/* Makes the missing directories above path. */
static int make_dirs(const char *path)
{
	_cleanup_free_ char *s = strdup(path);

	if (!s)
		return -ENOMEM;
	for (char *p = *s ? strchr(s + 1, '/') : NULL; p; p = strchr(p + 1, '/')) {
		*p = 0;
		if (!mkdir(s, 0700)) {
			int r = vu_catalog_sync_dir_of(s);

			if (r)
				return r;
		} else if (errno != EEXIST) {
			/* a read-only file system says EROFS also for what is there */
			int err = errno;

			if (access(s, F_OK))
				return -err;
		}
		*p = '/';
	}
	return 0;
}

/* Makes the empty file where it is missing. An empty file is a catalog whose making was cut short. */
static int make_file(const char *path)
{
	struct stat st;

	if (!stat(path, &st))
		return S_ISDIR(st.st_mode) ? -EISDIR : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	int r = make_dirs(path);

	if (r)
		return r;
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	return fchmod(fd, 0600) ? -errno : vu_catalog_sync_dir_of(path);
}

/* Brings the schema from one version to the newest, each step in a transaction. */
static int upgrade(struct vu_catalog *cat, int64_t version)
{
	for (unsigned i = 0; i < vu_schema_n_steps; i++) {
		vu_cleanup(vu_sql_rollback_p) sqlite3 *txn = NULL;
		char pragma[128];

		if (vu_schema_steps[i].version <= version)
			continue;
		snprintf(pragma, sizeof(pragma),
			 "PRAGMA application_id = %d; PRAGMA user_version = %d",
			 VU_CATALOG_APPLICATION_ID, vu_schema_steps[i].version);
		int r = vu_sql_begin(cat->db, &txn);

		if (!r)
			r = vu_sql_exec(cat->db, vu_schema_steps[i].sql);
		if (!r)
			r = vu_sql_exec(cat->db, pragma);
		if (!r)
			r = vu_sql_commit(&txn);
		if (r)
			return vu_catalog_fail(cat, r, NULL);
		cat->written = true;
	}
	return 0;
}

static int newest_version(void)
{
	return vu_schema_n_steps ? vu_schema_steps[vu_schema_n_steps - 1].version : 0;
}

/* Is it a catalog, and of which version? 0 is an empty file. */
static int identify(struct vu_catalog *cat, int64_t *ret_version)
{
	int64_t id, version, tables;
	int newest = newest_version();
	int r = vu_sql_number(cat->db, 0, &id, "PRAGMA application_id", "");

	if (!r)
		r = vu_sql_number(cat->db, 0, &version, "PRAGMA user_version", "");
	if (!r)
		r = vu_sql_number(cat->db, 0, &tables, "SELECT count(*) FROM sqlite_schema", "");
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	if (id != (tables ? VU_CATALOG_APPLICATION_ID : 0))
		return vu_catalog_fail(cat, VU_CATALOG_DAMAGED, "the file is not a vunify catalog");
	if (version < 0 || (version == 0) != (tables == 0))
		return vu_catalog_fail(cat, VU_CATALOG_DAMAGED, "the schema version cannot be");
	if (version > newest) {
		snprintf(cat->message, sizeof(cat->message),
			 "it has schema version %lld, this program knows %d", (long long)version,
			 newest);
		return VU_CATALOG_FUTURE;
	}
	*ret_version = version;
	return 0;
}

static int check_version(int64_t version)
{
	if (version == 0)
		return VU_CATALOG_MISSING;
	return version < newest_version() ? VU_CATALOG_OLD : 0;
}

static int prepare_write(struct vu_catalog *cat)
{
	int64_t version = 0;
	/* the page size must be set before the first page is written; it is ignored later */
	int r = vu_sql_exec(cat->db, "PRAGMA page_size = 8192; PRAGMA cell_size_check = ON;"
				     "PRAGMA cache_size = -4000; PRAGMA temp_store = MEMORY");

	if (!r)
		r = identify(cat, &version);
	if (r)
		return vu_catalog_fail(cat, r, cat->message[0] ? cat->message : NULL);
	r = cat->beside ? check_version(version) : 0;
	if (r)
		return r;
	r = vu_sql_exec(cat->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
				 "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 0");
	return r ? vu_catalog_fail(cat, r, NULL) : upgrade(cat, version);
}

static int prepare_read(struct vu_catalog *cat)
{
	int64_t version = 0;
	int r = vu_sql_exec(cat->db, "PRAGMA cell_size_check = ON; PRAGMA cache_size = -2000;"
				     "PRAGMA temp_store = MEMORY");

	if (r)
		return vu_catalog_fail(cat, r, NULL);
	r = identify(cat, &version);
	return r ? r : check_version(version);
}

static int open_write(struct vu_catalog *cat)
{
	int r = cat->beside ? 0 : make_file(cat->path);

	/* SQLite would say of one that is read-only that it has no WAL */
	if (!r && access(cat->path, W_OK))
		r = cat->beside && errno == ENOENT ? VU_CATALOG_MISSING : -errno;
	if (!r)
		r = vu_sql_open(cat->path, VU_SQL_WRITE, &cat->db);
	if (!r && stat(cat->path, &cat->st))
		r = -errno;
	cat->writable = true;
	return r ? r : prepare_write(cat);
}

static int open_read(struct vu_catalog *cat)
{
	_cleanup_free_ char *wal = NULL;
	struct stat st;

	if (stat(cat->path, &cat->st))
		return errno == ENOENT || errno == ENOTDIR ? VU_CATALOG_MISSING : -errno;
	if (S_ISDIR(cat->st.st_mode))
		return -EISDIR;
	if (!S_ISREG(cat->st.st_mode))
		return -EINVAL;
	if (asprintf(&wal, "%s-wal", cat->path) < 0) {
		wal = NULL;
		return -ENOMEM;
	}
	cat->immutable = stat(wal, &st) || st.st_size == 0;
	if (cat->immutable && cat->st.st_size == 0)
		return VU_CATALOG_MISSING;
	int r = vu_sql_open(cat->path, cat->immutable ? VU_SQL_IMMUTABLE : VU_SQL_READ, &cat->db);

	return r ? r : prepare_read(cat);
}

static void destroy(struct vu_catalog *cat)
{
	sqlite3_close(cat->db);
	for (size_t i = 0; i < VU_ARRAY_SIZE(cat->map.fs_id); i++)
		free(cat->map.fs_id[i]);
	free(cat->map.attr_row);
	free(cat->path);
	free(cat);
}

int vu_catalog_open(const char *path, enum vu_catalog_mode mode, struct vu_catalog **ret_cat,
		    char **ret_why)
{
	struct vu_catalog *cat = calloc(1, sizeof(*cat));
	int r = -ENOMEM;

	if (ret_why)
		*ret_why = NULL;
	if (!cat)
		return r;
	cat->beside = mode == VU_CATALOG_NOTE;
	cat->path = strdup(path);
	if (cat->path)
		r = mode == VU_CATALOG_READ ? open_read(cat) : open_write(cat);
	if (!r) {
		*ret_cat = cat;
		return 0;
	}
	if (ret_why && cat->message[0])
		*ret_why = strdup(cat->message);
	destroy(cat);
	return r;
}

/* Removes contents and attrs that nothing refers to, when enough references were dropped. */
static int sweep(struct vu_catalog *cat)
{
	_cleanup_txn_ sqlite3 *txn = NULL;
	int64_t dropped, contents;
	int r = vu_catalog_meta_get(cat, "dropped", &dropped);

	if (r || dropped < SWEEP_MIN)
		return r;
	r = vu_sql_number(cat->db, 0, &contents, "SELECT count(*) FROM content", "");
	if (r || dropped < contents / 2)
		return r;
	r = vu_sql_begin(cat->db, &txn);
	if (!r)
		r = vu_sql_exec(cat->db,
				"DELETE FROM content WHERE id NOT IN (SELECT content FROM inode"
				" UNION SELECT content FROM object);"
				"DELETE FROM attr WHERE id NOT IN (SELECT attr FROM inode"
				" UNION SELECT attr FROM object)");
	if (!r)
		r = vu_catalog_meta_set(cat, "dropped", 0);
	return r ? r : vu_sql_commit(&txn);
}

int vu_catalog_close(struct vu_catalog *cat)
{
	int r = 0;

	if (!cat)
		return 0;
	/* SQLite itself moves the WAL when the last one closes */
	if (cat->written && !cat->beside) {
		r = sweep(cat);
		int rc = sqlite3_wal_checkpoint_v2(cat->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
						   NULL);

		/* a reader holds the WAL: whoever closes last moves it */
		if (!r && (rc & 0xff) != SQLITE_BUSY)
			r = vu_sql_result(cat->db, rc);
	}
	destroy(cat);
	return r;
}
