/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 1. The guests are read from the old file, forward until something is malformed and then backward, so
 *    that one bad page costs what is on it. A row counts only with its seal: what stands in it (domain,
 *    trust, rules) decides what may share, and nothing else in the farm says it.
 * 2. The new catalog is made beside the old one, as PATH.rebuild: one name, so that a killed rebuild is
 *    cleaned up by the next; the directory is root's, and the caller holds the lock. It is on disk and
 *    complete before step 3, because closing it moves the WAL into it, and SQLite syncs both.
 * 3. The WAL goes aside first: SQLite would replay it into whatever database lies at the path. Then the
 *    old file gets its name aside, and the new one is renamed over it. Killed in between, it has both names.
 */
#include "db/catalog-rebuild.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "db/catalog-guest.h"
#include "db/catalog-int.h"

void vu_catalog_rebuilt_done(struct vu_catalog_rebuilt *r)
{
	vu_guests_done(&r->kept);
	vu_guests_done(&r->unproven);
	free(r->aside);
	*r = (struct vu_catalog_rebuilt){0};
}

/* ---- the guests of the old one ---- */

static bool has_id(const struct vu_guests *gs, uint32_t id)
{
	for (size_t i = 0; i < gs->n; i++)
		if (gs->v[i].id == id)
			return true;
	return false;
}

/* Puts a row where it belongs. Returns 0 or -ENOMEM. */
static int take_row(struct vu_catalog *cat, sqlite3_stmt *s, struct vu_catalog_rebuilt *out)
{
	vu_cleanup(vu_guest_done) struct vu_guest g = {0};
	int r = vu_catalog_guest_read(cat, s, &g);

	if (r == -ENOMEM)
		return r;
	if (r) {
		out->some_lost = true;
		return 0;
	}
	if (has_id(&out->kept, g.id) || has_id(&out->unproven, g.id))
		return 0;
	r = vu_catalog_guest_seal_check(cat, &g);
	if (r == -ENOMEM)
		return r;
	return vu_guests_add_consume(r ? &out->unproven : &out->kept, &g);
}

static int read_rows(struct vu_catalog *cat, const char *sql, struct vu_catalog_rebuilt *out,
		     bool *ret_whole)
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int r = vu_sql_prepare(cat->db, sql, &s), rc = SQLITE_DONE;

	while (!r && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = take_row(cat, s, out);
	if (!r)
		r = vu_sql_result(cat->db, rc);
	*ret_whole = !r;
	return r == -ENOMEM ? r : 0;
}

/* Returns 0 (also for a file that is no database at all) or -ENOMEM. */
static int read_guests(struct vu_catalog *cat, enum vu_sql_mode mode,
		       struct vu_catalog_rebuilt *out)
{
	static const char *const sql[] = {
		VU_CATALOG_GUEST_ROWS " ORDER BY id",
		VU_CATALOG_GUEST_ROWS " ORDER BY id DESC",
		VU_CATALOG_GUEST_ROWS_OLD " ORDER BY id",
		VU_CATALOG_GUEST_ROWS_OLD " ORDER BY id DESC",
	};
	bool whole = false;
	int r = vu_sql_open(cat->path, mode, &cat->db);

	for (size_t i = 0; !r && !whole && i < VU_ARRAY_SIZE(sql); i++)
		r = read_rows(cat, sql[i], out, &whole);
	out->some_lost |= !whole;
	sqlite3_close(cat->db);
	cat->db = NULL;
	return r == -ENOMEM ? r : 0;
}

/* With the WAL where there is one; without it where that is what is damaged. */
static int salvage(const char *path, struct vu_catalog_rebuilt *out)
{
	_cleanup_free_ char *wal = NULL;
	struct vu_catalog cat = {.path = (char *)(uintptr_t)path};
	struct stat st;
	int r = 0;

	if (asprintf(&wal, "%s-wal", path) < 0) {
		wal = NULL;
		return -ENOMEM;
	}
	if (!stat(wal, &st) && st.st_size) {
		r = read_guests(&cat, VU_SQL_READ, out);
		if (r || out->kept.n)
			return r;
	}
	return read_guests(&cat, VU_SQL_IMMUTABLE, out);
}

/* ---- the new one ---- */

static void remove_file(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	for (size_t i = 0; i < VU_ARRAY_SIZE(suffixes); i++) {
		_cleanup_free_ char *name = NULL;

		if (asprintf(&name, "%s%s", path, suffixes[i]) < 0)
			name = NULL;
		else
			unlink(name);
	}
}

/* Guests that another one's row leaves no room for (a name, or a root, twice) are not proven either. */
static int add_guests(struct vu_catalog *cat, struct vu_catalog_rebuilt *out)
{
	for (size_t i = 0; i < out->kept.n;) {
		int r = vu_catalog_guest_add(cat, &out->kept.v[i]);

		if (r && r != -EEXIST)
			return r;
		if (!r) {
			i++;
			continue;
		}
		r = vu_guests_add_consume(&out->unproven, &out->kept.v[i]);
		if (r)
			return r;
		out->kept.v[i] = out->kept.v[--out->kept.n];
	}
	return 0;
}

static int make_new(const char *name, struct vu_catalog_rebuilt *out)
{
	struct vu_catalog *cat = NULL;

	remove_file(name);
	int r = vu_catalog_open(name, VU_CATALOG_WRITE, &cat, NULL), c;

	if (r)
		return r;
	r = add_guests(cat, out);
	c = vu_catalog_close(cat);
	return r ? r : c;
}

/* ---- the exchange ---- */

/* Renames path + suffix to aside + suffix. It may be missing. */
static int move_aside(const char *path, const char *aside, const char *suffix)
{
	_cleanup_free_ char *from = NULL, *to = NULL;

	if (asprintf(&from, "%s%s", path, suffix) < 0) {
		from = NULL;
		return -ENOMEM;
	}
	if (asprintf(&to, "%s%s", aside, suffix) < 0) {
		to = NULL;
		return -ENOMEM;
	}
	return rename(from, to) && errno != ENOENT ? -errno : 0;
}

/* A name for it with the time, and a number where that is taken. The lock keeps it free. */
static int aside_name(const char *path, char **ret)
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;
	struct stat st;

	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	for (unsigned i = 0; i < 1000; i++) {
		char *s = NULL;

		if ((i ? asprintf(&s, "%s.damaged-%s.%u", path, when, i)
		       : asprintf(&s, "%s.damaged-%s", path, when)) < 0)
			return -ENOMEM;
		if (lstat(s, &st) && errno == ENOENT) {
			*ret = s;
			return 0;
		}
		free(s);
	}
	return -EEXIST;
}

/*
 * The old file gets its second name first: so there is one at the path at any time, and whatever fails, the
 * old one is there still. Not every file system has second names.
 */
static int exchange(const char *path, const char *name, const char *aside)
{
	bool linked = !link(path, aside);

	if (!linked && errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	if (!linked && rename(path, aside))
		return -errno;
	if (!rename(name, path))
		return 0;
	int err = errno;

	if (linked ? unlink(aside) : rename(aside, path))
		return -errno;
	return -err;
}

static int put_in_place(const char *path, const char *name, const char *aside)
{
	int r = move_aside(path, aside, "-wal");

	if (!r)
		r = move_aside(path, aside, "-shm");
	if (!r)
		r = exchange(path, name, aside);
	if (!r)
		return 0;
	/* the old one is as it was with what its WAL says */
	(void)move_aside(aside, path, "-shm");
	(void)move_aside(aside, path, "-wal");
	return r;
}

static int replace(const char *path, bool is_there, struct vu_catalog_rebuilt *out)
{
	_cleanup_free_ char *name = NULL;

	if (asprintf(&name, "%s.rebuild", path) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	int r = make_new(name, out);

	if (!r && is_there)
		r = aside_name(path, &out->aside);
	if (!r && is_there)
		r = put_in_place(path, name, out->aside);
	else if (!r)
		r = rename(name, path) ? -errno : 0;
	if (r) {
		remove_file(name);
		return r;
	}
	return vu_catalog_sync_dir_of(path);
}

int vu_catalog_rebuild(const char *path, bool dry_run, struct vu_catalog_rebuilt *ret)
{
	vu_cleanup(vu_catalog_rebuilt_done) struct vu_catalog_rebuilt out = {0};
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;
	int r = 0;

	/* an admin may keep it elsewhere, behind a symbolic link */
	if (!real && (errno != ENOENT || !lstat(path, &st)))
		return errno == ENOENT ? -EINVAL : -errno;
	if (real) {
		if (stat(real, &st))
			return -errno;
		if (!S_ISREG(st.st_mode))
			return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
		r = salvage(real, &out);
	}
	if (!r && !dry_run)
		r = replace(real ? real : path, real, &out);
	if (r)
		return r;
	*ret = out;
	out = (struct vu_catalog_rebuilt){0};
	return 0;
}
