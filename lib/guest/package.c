/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dpkg's formats, as deb-conffiles(5) and dpkg's own files have them:
 *
 *   status: paragraphs of fields; "Conffiles:", then lines " PATH HASH", with " obsolete" or
 *     " remove-on-upgrade" behind. PATH may hold spaces, so a line is read from its end.
 *   NAME.conffiles: lines "PATH" or "FLAG PATH"; PATH begins with '/'.
 *
 * A status file is mostly other fields, several MB of them: "\nConffiles:" is searched for in one go,
 * and nothing else is looked at. Paths are kept as directory and name, sorted by directory first, so
 * that "has this directory any" is one search and a name needs no path put together.
 */
#include "guest/package.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/want.h"
#include "fs/beneath.h"
#include "guest/dpkg-text.h"

#define DPKG VU_DPKG_DIR

struct entry {
	uint32_t path;	  /* offset in text */
	uint32_t dir_len; /* bytes before the last '/', 0 without one */
};

struct vu_package_db {
	char *text; /* owned; NUL-terminated paths */
	size_t text_len;
	size_t text_cap;
	struct entry *entries; /* owned; sorted once all are there */
	size_t n;
	size_t cap;
	char *why; /* owned; what was wrong, or NULL */
};

/* A load or parse under way. */
struct load {
	struct vu_package_db *db;
	const char *file; /* being read */
	bool is_broken;
};

static void db_free_p(struct vu_package_db **db)
{
	vu_package_free(*db);
}

struct vu_package_db *vu_package_free(struct vu_package_db *db)
{
	if (!db)
		return NULL;
	free(db->text);
	free(db->entries);
	free(db->why);
	free(db);
	return NULL;
}

/* Remembers the first thing that is wrong. Returns 0 or -ENOMEM. */
static int broken(struct load *l, const char *why)
{
	if (l->is_broken)
		return 0;
	l->is_broken = true;
	if (asprintf(&l->db->why, "%s%s%s", l->file, *l->file ? ": " : "", why) < 0) {
		l->db->why = NULL;
		return -ENOMEM;
	}
	return 0;
}

/* What an open or read that failed means: the guest's doing, or ours. */
static int broken_by(struct load *l, int err)
{
	if (vu_is_want(err))
		return err;
	return broken(l, vu_dpkg_why(err));
}

/* Makes room for one more entry and len more bytes. */
static int reserve(struct vu_package_db *db, size_t len)
{
	if (db->text_len + len > db->text_cap) {
		size_t cap = VU_MAX(db->text_cap * 2, VU_MAX(len, (size_t)16384));
		char *text = realloc(db->text, cap);

		if (!text)
			return -ENOMEM;
		db->text = text;
		db->text_cap = cap;
	}
	if (db->n == db->cap) {
		size_t cap = VU_MAX(db->cap * 2, (size_t)256);
		struct entry *entries = reallocarray(db->entries, cap, sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		db->entries = entries;
		db->cap = cap;
	}
	return 0;
}

/* Appends prefix and n bytes of s as one path. */
static int add_path(struct load *l, const char *prefix, const char *s, size_t n)
{
	struct vu_package_db *db = l->db;
	size_t prefix_len = strlen(prefix), len = prefix_len + n + 1;

	if (db->n == VU_PACKAGE_PATHS_MAX || db->text_len + len > VU_PACKAGE_TEXT_MAX)
		return broken(l, "more paths than are looked at");
	int r = reserve(db, len);

	if (r)
		return r;
	char *path = db->text + db->text_len, *slash;

	memcpy(path, prefix, prefix_len);
	memcpy(path + prefix_len, s, n);
	path[len - 1] = 0;
	slash = strrchr(path, '/');
	db->entries[db->n++] = (struct entry){
		.path = (uint32_t)db->text_len,
		.dir_len = slash ? (uint32_t)(slash - path) : 0,
	};
	db->text_len += len;
	return 0;
}

/* Adds an absolute path. */
static int add_absolute(struct load *l, const char *s, size_t n)
{
	if (!n || *s != '/' || !vu_dpkg_path_ok(s + 1, n - 1))
		return broken(l, "a line that is no path of a configuration file");
	int r = add_path(l, "", s + 1, n - 1);

	if (!r && vu_dpkg_maybe_merged(s + 1, n - 1))
		r = add_path(l, "usr/", s + 1, n - 1);
	return r;
}

/* Cuts the last word and the blanks before it off; returns it, and its length in *ret_len. */
static const char *cut_word(const char *s, size_t *n, size_t *ret_len)
{
	size_t end = *n, begin;

	while (end && s[end - 1] == ' ')
		end--;
	for (begin = end; begin && s[begin - 1] != ' ';)
		begin--;
	*ret_len = end - begin;
	*n = begin;
	while (*n && s[*n - 1] == ' ')
		--*n;
	return s + begin;
}

/* A line of a Conffiles field without its first blank. */
static int add_status_line(struct load *l, const char *s, size_t n)
{
	const char *word;
	size_t len;

	do
		word = cut_word(s, &n, &len); /* flags; at last the hash */
	while ((len == 8 && !memcmp(word, "obsolete", len)) ||
	       (len == 17 && !memcmp(word, "remove-on-upgrade", len)));
	return add_absolute(l, s, n);
}

/* A line of a .conffiles file. */
static int add_conffiles_line(struct load *l, const char *s, size_t n)
{
	while (n && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r'))
		n--;
	if (!n)
		return 0;
	const char *path = *s == '/' ? s : memmem(s, n, " /", 2);

	if (!path)
		return broken(l, "a line that is no path of a configuration file");
	path += *path == ' ';
	return add_absolute(l, path, n - (size_t)(path - s));
}

static int parse_conffiles(struct load *l, const char *s, size_t n)
{
	const char *end = s + n;
	int r = 0;

	for (const char *nl; s < end && !r; s = nl + 1) {
		nl = memchr(s, '\n', (size_t)(end - s));
		if (!nl)
			nl = end;
		r = add_conffiles_line(l, s, (size_t)(nl - s));
	}
	return r;
}

/* The lines of a Conffiles field; s is behind the ':'. Returns 0 or a negative errno; *ret_s: behind. */
static int parse_field(struct load *l, const char *s, const char *end, const char **ret_s)
{
	int r = 0;

	for (;;) {
		const char *nl = memchr(s, '\n', (size_t)(end - s));

		/* s is at the rest of the field's own line, then at its end; the next may go on */
		s = nl ? nl + 1 : end;
		if (r || s >= end || *s != ' ')
			break;
		nl = memchr(s, '\n', (size_t)(end - s));
		size_t n = (size_t)((nl ? nl : end) - s);

		r = add_status_line(l, s + 1, n - 1);
		s += n;
		if (s == end)
			break;
	}
	*ret_s = s;
	return r;
}

static int parse_status(struct load *l, const char *s, size_t n)
{
	static const char field[] = "\nConffiles:";
	const char *end = s + n;
	size_t len = sizeof(field) - 1;
	int r = 0;

	if (n >= len - 1 && !memcmp(s, field + 1, len - 1))
		r = parse_field(l, s + len - 1, end, &s);
	while (!r && s < end) {
		const char *p = memmem(s, (size_t)(end - s), field, len);

		if (!p)
			break;
		/* the newline before the next line may be that of the next field */
		r = parse_field(l, p + len, end, &s);
		s -= s < end;
	}
	return r;
}

/* Reads and parses name in dirfd; a file that is not there is fine. */
static int load_file(struct load *l, int dirfd, const char *name, enum vu_package_format format,
		     uint64_t *max)
{
	_cleanup_free_ char *text = NULL;
	const char *why = NULL;
	size_t n = 0;
	int r = vu_dpkg_read(dirfd, name, max, &text, &n, &why);

	if (r > 0)
		return broken(l, why);
	if (r || !text)
		return r;
	return format == VU_PACKAGE_STATUS ? parse_status(l, text, n) : parse_conffiles(l, text, n);
}

static int load_info_file(struct load *l, int dirfd, const char *name, uint64_t *max)
{
	_cleanup_free_ char *file = NULL;

	if (asprintf(&file, DPKG "/info/%s", name) < 0) {
		file = NULL;
		return -ENOMEM;
	}
	l->file = file;
	int r = load_file(l, dirfd, name, VU_PACKAGE_CONFFILES, max);

	l->file = DPKG "/info";
	return r;
}

static int load_info(struct load *l, int dpkg_fd, uint64_t max)
{
	_cleanup_fd_ int fd = vu_beneath_open(dpkg_fd, "info", O_RDONLY | O_DIRECTORY);
	struct dirent *d;
	int r = 0;

	l->file = DPKG "/info";
	if (fd < 0)
		return fd == -ENOENT ? 0 : broken_by(l, fd);
	_cleanup_closedir_ DIR *dir = fdopendir(fd);

	if (!dir)
		return -errno;
	int dir_fd = vu_take_fd(fd); /* dir's own now */

	for (unsigned seen = 0; !r && (errno = 0, d = readdir(dir)); seen++) {
		if (seen == VU_PACKAGE_FILES_MAX)
			return broken(l, "more entries than are looked at");
		if (vu_dpkg_has_suffix(d->d_name, ".conffiles"))
			r = load_info_file(l, dir_fd, d->d_name, &max);
	}
	return !r && errno ? broken_by(l, -errno) : r;
}

static int compare_dir(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = memcmp(a, b, VU_MIN(a_len, b_len));

	return r ? r : (a_len > b_len) - (a_len < b_len);
}

/* What follows the directory in a path: the name, with its '/' but in the root. */
static int compare_entries(const void *a, const void *b, void *arg)
{
	const struct entry *x = a, *y = b;
	const char *text = arg;
	int r = compare_dir(text + x->path, x->dir_len, text + y->path, y->dir_len);

	return r ? r : strcmp(text + x->path + x->dir_len, text + y->path + y->dir_len);
}

static void sort(struct vu_package_db *db)
{
	size_t n = 0;

	if (!db->n)
		return;
	qsort_r(db->entries, db->n, sizeof(*db->entries), compare_entries, db->text);
	for (size_t i = 1; i < db->n; i++)
		if (compare_entries(&db->entries[n], &db->entries[i], db->text))
			db->entries[++n] = db->entries[i];
	db->n = n + 1;
}

/* Ends a load whose result so far is r: consumes what l owns. */
static int finish(struct load *l, int r, struct vu_package_db **ret_db, const char **ret_why)
{
	vu_cleanup(db_free_p) struct vu_package_db *db = l->db;

	l->db = NULL;
	if (r)
		return r;
	sort(db);
	if (l->is_broken)
		*ret_why = db->why;
	*ret_db = vu_take_ptr(db);
	return l->is_broken ? VU_PACKAGE_BROKEN : 0;
}

int vu_package_read(int rootfd, uint64_t max_bytes, struct vu_package_db **ret_db,
		    const char **ret_why)
{
	struct load l = {.db = calloc(1, sizeof(*l.db)), .file = DPKG};
	_cleanup_fd_ int fd = -EBADF;
	uint64_t max = max_bytes;
	int r = 0;

	if (!l.db)
		return -ENOMEM;
	fd = vu_beneath_open(rootfd, DPKG, O_RDONLY | O_DIRECTORY);
	if (fd >= 0) {
		l.file = DPKG "/status";
		r = load_file(&l, fd, "status", VU_PACKAGE_STATUS, &max);
		if (!r)
			r = load_info(&l, fd, max_bytes);
	} else if (fd != -ENOENT) {
		r = broken_by(&l, fd);
	}
	return finish(&l, r, ret_db, ret_why);
}

int vu_package_parse(enum vu_package_format format, const char *text, size_t n,
		     struct vu_package_db **ret_db, const char **ret_why)
{
	struct load l = {.db = calloc(1, sizeof(*l.db)), .file = ""};

	if (!l.db)
		return -ENOMEM;
	int r = format == VU_PACKAGE_STATUS ? parse_status(&l, text, n)
					    : parse_conffiles(&l, text, n);

	return finish(&l, r, ret_db, ret_why);
}

/* The first entry whose directory is not before reldir. */
static size_t first_of(const struct vu_package_db *db, const char *reldir, size_t len)
{
	size_t lo = 0, hi = db->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct entry *e = &db->entries[mid];

		if (compare_dir(db->text + e->path, e->dir_len, reldir, len) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_in(const struct vu_package_db *db, size_t i, const char *reldir, size_t len)
{
	return i < db->n && db->entries[i].dir_len == len &&
	       !memcmp(db->text + db->entries[i].path, reldir, len);
}

static bool has(const struct vu_package_db *db, const char *reldir, size_t dir_len,
		const char *name)
{
	size_t lo = 0, hi = db->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct entry *e = &db->entries[mid];
		const char *path = db->text + e->path;
		int c = compare_dir(path, e->dir_len, reldir, dir_len);

		if (!c)
			c = strcmp(path + e->dir_len + (e->dir_len > 0), name);
		if (!c)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

bool vu_package_is_conffile_at(const struct vu_package_db *db, const char *reldir, const char *name)
{
	return has(db, reldir, strlen(reldir), name);
}

bool vu_package_is_conffile(const struct vu_package_db *db, const char *relpath)
{
	const char *slash = strrchr(relpath, '/');

	return slash ? has(db, relpath, (size_t)(slash - relpath), slash + 1)
		     : has(db, "", 0, relpath);
}

bool vu_package_dir_has_any(const struct vu_package_db *db, const char *reldir)
{
	size_t len = strlen(reldir);

	return is_in(db, first_of(db, reldir, len), reldir, len);
}

size_t vu_package_count(const struct vu_package_db *db)
{
	return db->n;
}

const char *vu_package_at(const struct vu_package_db *db, size_t i)
{
	return db->text + db->entries[i].path;
}
