/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows and names ascend alike, and are merged: a row without its name is to go, a name without its row is to be
 * written. First all rows are read, then rows are deleted, then written. A row whose name is none that could
 * have been written (of a damaged file) could not be deleted by that name: then all rows of the directory are
 * written anew.
 */
#include "db/catalog-unames.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* What of a directory differs from its rows. */
struct difference {
	char *gone; /* owned; names to be deleted, each with its NUL */
	size_t n_gone, max_gone;
	uint32_t n_put; /* names to be written: the first of s->unames */
	bool odd;	/* there are rows that cannot be */
};

static void difference_done(struct difference *d)
{
	free(d->gone);
}

VU_DEFINE_CLEANUP_DONE(struct difference, difference_done)

/* Of the names up to at, which are looked at, those to be written stand first; none is lost. */
static void put(struct vu_entries *e, uint32_t at, struct difference *d)
{
	struct vu_entry other = e->v[d->n_put];

	e->v[d->n_put++] = e->v[at];
	e->v[at] = other;
}

static int add_gone(struct difference *d, const char *name, size_t n)
{
	if (d->n_gone + n + 1 > d->max_gone) {
		size_t max = VU_MAX(d->max_gone * 2, (size_t)4096);
		char *v = realloc(d->gone, max);

		if (!v)
			return -ENOMEM;
		d->gone = v;
		d->max_gone = max;
	}
	memcpy(d->gone + d->n_gone, name, n);
	d->n_gone += n;
	d->gone[d->n_gone++] = 0;
	return 0;
}

/* How a name compares with a row's, as bytes. */
static int compare(const struct vu_entry *e, const char *name, size_t n)
{
	size_t len = strlen(e->name);
	int c = memcmp(e->name, name, VU_MIN(n, len));

	return c ? c : (len > n) - (len < n);
}

/* One row; *next: the first of the names that none of the rows was compared with. */
static int merge_row(struct vu_save *s, sqlite3_stmt *q, uint32_t *next, struct difference *d)
{
	const char *name = sqlite3_column_blob(q, 0);
	size_t n = (size_t)sqlite3_column_bytes(q, 0);
	struct vu_entries *e = &s->unames;
	int c = 1;

	if (sqlite3_column_type(q, 0) != SQLITE_BLOB || !name || n > NAME_MAX ||
	    memchr(name, 0, n)) {
		d->odd = true;
		return 0;
	}
	while (*next < e->n && (c = compare(&e->v[*next], name, n)) < 0)
		put(e, (*next)++, d);
	if (*next == e->n || c)
		return add_gone(d, name, n);
	if ((uint64_t)sqlite3_column_int64(q, 1) != e->v[*next].ino)
		put(e, *next, d);
	++*next;
	return 0;
}

static int differ(struct vu_save *s, const struct vu_dir *dir, struct difference *d)
{
	sqlite3_stmt *q;
	uint32_t next = 0;
	int r = vu_save_get(s, GET_UNAMES, vu_save_guest(s, dir->guest), dir->row, &q),
	    rc = SQLITE_DONE;

	if (r)
		return r;
	while (!r && !d->odd && (rc = sqlite3_step(q)) == SQLITE_ROW)
		r = merge_row(s, q, &next, d);
	sqlite3_reset(q);
	if (r || d->odd)
		return r;
	while (next < s->unames.n)
		put(&s->unames, next++, d);
	return vu_sql_result(s->cat->db, rc);
}

static int delete_gone(struct vu_save *s, const struct vu_dir *dir, const struct difference *d)
{
	sqlite3_stmt *q;
	int r = 0;

	for (size_t at = 0, n; !r && at < d->n_gone; at += n + 1) {
		n = strlen(d->gone + at);
		r = vu_save_get(s, DEL_UNAME, vu_save_guest(s, dir->guest), dir->row, &q);
		if (r)
			break;
		sqlite3_bind_blob(q, 3, d->gone + at, (int)n, SQLITE_STATIC);
		r = vu_sql_done(q);
	}
	return r;
}

int vu_save_unames(struct vu_save *s, const struct vu_dir *d, bool is_new)
{
	vu_cleanup(difference_done_p) struct difference diff = {0};
	int r = 0;

	if (d->flags & VU_DIR_LISTED && !is_new) {
		r = differ(s, d, &diff);
		if (!r && diff.odd)
			r = vu_save_run(s, DEL_DIR_UNAMES, vu_save_guest(s, d->guest), d->row);
		else if (!r)
			r = delete_gone(s, d, &diff);
		if (!diff.odd)
			s->unames.n = diff.n_put;
	}
	return r ? r : vu_save_entries(s, PUT_UNAME, d, &s->unames);
}
