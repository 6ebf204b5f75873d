/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only directories that were listed are asked for, one range of rows each: what stands in a clean one has not
 * come apart. Both sides are sorted by name, as bytes, and merged: a guest chooses how many there are. Where
 * few names of many are new, each of these is looked up instead.
 */
#include "db/catalog-apart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "db/catalog-int.h"

#define LOOKUP 8 /* rows that are read in the time in which one is looked up */

struct found {
	const char *text;
	uint32_t name;
};

struct apart {
	struct vu_catalog *cat;
	struct vu_tree *t;
	sqlite3_stmt *unames; /* owned; all of a directory */
	sqlite3_stmt *uname;  /* owned; one */
	struct found *found;  /* owned; private names of the directory at hand that are new to it */
	size_t n, max;
};

static void apart_done(struct apart *a)
{
	sqlite3_finalize(a->unames);
	sqlite3_finalize(a->uname);
	free(a->found);
}

VU_DEFINE_CLEANUP_DONE(struct apart, apart_done)

static int by_text(const void *x, const void *y)
{
	/* strcmp compares as unsigned bytes, as SQLite does blobs */
	return strcmp(((const struct found *)x)->text, ((const struct found *)y)->text);
}

static int found_add(struct apart *a, uint32_t name)
{
	if (a->n == a->max) {
		size_t max = a->max ? a->max * 2 : 64;
		struct found *v = reallocarray(a->found, max, sizeof(*v));

		if (!v)
			return -ENOMEM;
		a->found = v;
		a->max = max;
	}
	a->found[a->n++] = (struct found){vu_tree_text(a->t, vu_tree_name(a->t, name)->name), name};
	return 0;
}

/* A name that the catalog holds as a private one was no object's. */
static int find_new(struct apart *a, const struct vu_dir *d)
{
	int r = 0;

	a->n = 0;
	for (uint32_t i = d->first_name; !r && i != VU_NONE; i = vu_tree_name(a->t, i)->sibling)
		if (vu_tree_name(a->t, i)->fate == VU_NEW)
			r = found_add(a, i);
	if (a->n > 1)
		qsort(a->found, a->n, sizeof(*a->found), by_text);
	return r;
}

/* How the text of found compares with a row's name. */
static int compare(const struct found *f, sqlite3_stmt *s)
{
	const void *name = sqlite3_column_blob(s, 0);
	size_t n = (size_t)sqlite3_column_bytes(s, 0), len = strlen(f->text);
	int c = memcmp(f->text, name ? name : "", VU_MIN(n, len));

	return c ? c : (len > n) - (len < n);
}

static int merge(struct apart *a, const struct vu_dir *d, int64_t guest)
{
	size_t i = 0;
	int rc = SQLITE_DONE, r = vu_sql_bind(a->unames, "ii", guest, (int64_t)d->row);

	while (!r && i < a->n && (rc = sqlite3_step(a->unames)) == SQLITE_ROW) {
		while (i < a->n && compare(&a->found[i], a->unames) < 0)
			i++;
		if (i < a->n && !compare(&a->found[i], a->unames))
			vu_tree_name(a->t, a->found[i++].name)->apart = true;
	}
	sqlite3_reset(a->unames);
	return r ? r : vu_sql_result(a->cat->db, rc);
}

static int look_up(struct apart *a, const struct vu_dir *d, int64_t guest)
{
	int rc = SQLITE_DONE, r = 0;

	for (size_t i = 0; !r && i < a->n; i++) {
		const struct found *f = &a->found[i];

		r = vu_sql_bind(a->uname, "iib", guest, (int64_t)d->row, f->text,
				(int)strlen(f->text));
		if (!r)
			rc = sqlite3_step(a->uname);
		if (!r && rc == SQLITE_ROW)
			vu_tree_name(a->t, f->name)->apart = true;
		else if (!r)
			r = vu_sql_result(a->cat->db, rc);
		sqlite3_reset(a->uname);
	}
	return r;
}

/* How many rows there are is not known: about as many as names of objects are there now. */
static int mark_dir(struct apart *a, const struct vu_dir *d, int64_t guest)
{
	int r = find_new(a, d);

	if (r || !a->n)
		return r;
	return a->n < d->n_unified / LOOKUP ? look_up(a, d, guest) : merge(a, d, guest);
}

int vu_catalog_mark_apart(struct vu_catalog *cat, const struct vu_guests *guests, struct vu_tree *t)
{
	vu_cleanup(apart_done_p) struct apart a = {.cat = cat, .t = t};
	int r = vu_sql_prepare(cat->db,
			       "SELECT name FROM uname WHERE guest = ? AND dir = ? ORDER BY name",
			       &a.unames);

	if (!r)
		r = vu_sql_prepare(cat->db,
				   "SELECT 1 FROM uname WHERE guest = ? AND dir = ? AND name = ?",
				   &a.uname);
	for (uint32_t i = 0; !r && i < t->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(t, i);

		if (d->row && d->flags & VU_DIR_LISTED && d->fate != VU_GONE)
			r = mark_dir(&a, d, guests->v[d->guest].id);
	}
	return vu_catalog_fail(cat, r, NULL);
}
