/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving, in one transaction: power fails before its commit is on disk, and the catalog is what it was.
 *
 * 1. Everything is decided in memory: what is to go gets VU_GONE. Nothing to write: no transaction.
 * 2. Contents and attrs without a row get one, since inodes refer to them.
 * 3. All deletions, then all insertions: an inode number, or a name, may have been given to another file.
 * 4. Insertions in key order (guest, then directory and name, or inode number), which fills the pages
 *    from left to right. Records are brought into that order by counting the guests and sorting within.
 */
#include <errno.h>
#include <string.h>

#include "db/catalog-int.h"
#include "db/catalog-put.h"
#include "db/catalog-tree.h"
#include "db/catalog-unames.h"

static bool is_written(uint8_t fate)
{
	return fate == VU_NEW || fate == VU_CHANGED;
}

static bool dir_written(const struct vu_dir *d)
{
	return is_written(d->fate) || (d->fate != VU_GONE && d->flags & VU_DIR_TOUCHED);
}

static bool is_moved(const struct vu_inode *n)
{
	return n->flags & (VU_INODE_UNIFIED | VU_INODE_ADOPTED);
}

static bool is_private(const struct vu_inode *n)
{
	return !(n->flags & (VU_INODE_OBJECT | VU_INODE_UNIFIED | VU_INODE_ADOPTED));
}

/* Turns what is to be deleted into VU_GONE. Is there anything to write? */
static bool decide_dirs(struct vu_save *s)
{
	bool any = s->t->unified.n;

	for (uint32_t i = 0; i < s->t->dirs.n; i++) {
		struct vu_dir *d = vu_tree_dir(s->t, i);

		if (d->fate == VU_UNSEEN && !(s->flags & VU_SAVE_KEEP_UNSEEN))
			d->fate = VU_GONE;
		if (d->parent != VU_NONE && vu_tree_dir(s->t, d->parent)->fate == VU_GONE)
			d->fate = VU_GONE;
		any |= dir_written(d) || (d->fate == VU_GONE && d->row) || d->flags & VU_DIR_LISTED;
	}
	return any;
}

static bool decide_names(struct vu_save *s)
{
	bool any = false;

	for (uint32_t i = 0; i < s->t->names.n; i++) {
		struct vu_name *n = vu_tree_name(s->t, i);
		const struct vu_dir *d = vu_tree_dir(s->t, n->dir);

		if (n->fate == VU_UNSEEN &&
		    (!(s->flags & VU_SAVE_KEEP_UNSEEN) || d->flags & VU_DIR_LISTED))
			n->fate = VU_GONE;
		any |= n->fate == VU_GONE || is_written(n->fate) || n->unified;
	}
	return any;
}

static bool decide_inodes(struct vu_save *s)
{
	bool any = false;

	for (uint32_t i = 0; i < s->t->inodes.n; i++) {
		struct vu_inode *n = vu_tree_inode(s->t, i);

		if (n->fate == VU_UNSEEN && is_private(n) && !(s->flags & VU_SAVE_KEEP_UNSEEN))
			n->fate = VU_GONE;
		any |= n->fate == VU_GONE || is_written(n->fate) || is_moved(n);
	}
	return any;
}

static int delete_dirs(struct vu_save *s)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < s->t->dirs.n; i++) {
		struct vu_dir *d = vu_tree_dir(s->t, i);

		if (d->fate != VU_GONE || !d->row)
			continue;
		r = vu_save_run(s, DEL_DIR, vu_save_guest(s, d->guest), d->row);
		if (!r)
			r = vu_save_run(s, DEL_DIR_NAMES, vu_save_guest(s, d->guest), d->row);
		if (!r)
			r = vu_save_run(s, DEL_DIR_UNAMES, vu_save_guest(s, d->guest), d->row);
		d->row = 0;
	}
	return r;
}

static int delete_names(struct vu_save *s)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < s->t->names.n; i++) {
		const struct vu_name *n = vu_tree_name(s->t, i);
		const struct vu_dir *d = vu_tree_dir(s->t, n->dir);
		const char *text = vu_tree_text(s->t, n->name);
		sqlite3_stmt *q;

		if (!d->row || (n->fate != VU_GONE && !n->unified))
			continue;
		r = vu_save_get(s, DEL_NAME, vu_save_guest(s, d->guest), d->row, &q);
		if (r)
			return r;
		sqlite3_bind_blob(q, 3, text, (int)strlen(text), SQLITE_STATIC);
		r = vu_sql_done(q);
	}
	return r;
}

static int delete_inodes(struct vu_save *s)
{
	int64_t fs;
	int r = 0;

	for (uint32_t i = 0; !r && i < s->t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(s->t, i);

		if (n->fate != VU_GONE && !is_moved(n))
			continue;
		if (!is_moved(n) && n->flags & VU_INODE_OBJECT) {
			r = vu_save_fs(s, n->fs, &fs);
			if (!r)
				r = vu_save_run(s, DEL_OBJECT, fs, (int64_t)n->ino);
		} else {
			r = vu_save_run(s, DEL_INODE, vu_save_guest(s, n->guest), (int64_t)n->ino);
		}
		s->dropped += n->content != VU_NONE && !is_moved(n);
	}
	return r;
}

static int entry_add(struct vu_entries *e, const char *name, uint64_t ino)
{
	if (e->n == e->max) {
		uint32_t max = e->max ? e->max * 2 : 64;
		struct vu_entry *v = reallocarray(e->v, max, sizeof(*v));

		if (!v)
			return -ENOMEM;
		e->v = v;
		e->max = max;
	}
	e->v[e->n++] = (struct vu_entry){.name = name, .ino = ino};
	return 0;
}

static int by_name(const void *a, const void *b)
{
	/* strcmp compares as unsigned bytes, as SQLite does blobs */
	return strcmp(((const struct vu_entry *)a)->name, ((const struct vu_entry *)b)->name);
}

static void entries_sort(struct vu_entries *e)
{
	if (e->n > 1)
		qsort(e->v, e->n, sizeof(*e->v), by_name);
}

/* The inode number of the object that these names now name, 0 if there is none. */
static uint64_t object_ino(const struct vu_save *s, const struct vu_inode *n)
{
	if (n->flags & VU_INODE_ADOPTED)
		return n->ino;
	if (n->flags & VU_INODE_UNIFIED && n->key < s->t->inodes.n)
		return vu_tree_inode(s->t, n->key)->ino;
	return 0;
}

/* Gathers what is to be written of a directory's names, sorted. */
static int gather(struct vu_save *s, uint32_t dir)
{
	const struct vu_dir *d = vu_tree_dir(s->t, dir);
	int r = 0;

	s->names.n = s->unames.n = 0;
	for (uint32_t i = d->first_name; !r && i != VU_NONE; i = vu_tree_name(s->t, i)->sibling) {
		const struct vu_name *n = vu_tree_name(s->t, i);
		const struct vu_inode *inode = vu_tree_inode(s->t, n->inode);

		if (n->unified && n->fate != VU_GONE && object_ino(s, inode))
			r = entry_add(&s->unames, vu_tree_text(s->t, n->name),
				      object_ino(s, inode));
		else if (!n->unified && is_written(n->fate))
			r = entry_add(&s->names, vu_tree_text(s->t, n->name), inode->ino);
	}
	for (uint32_t i = s->unified_head ? s->unified_head[dir] : 0; !r && i;
	     i = s->unified_next[i - 1]) {
		const struct vu_unified_name *u = vu_chunks_at(&s->t->unified, i - 1);

		r = entry_add(&s->unames, vu_tree_text(s->t, u->name), u->ino);
	}
	entries_sort(&s->names);
	entries_sort(&s->unames);
	return r;
}

static int save_dir(struct vu_save *s, uint32_t i, int64_t *row)
{
	struct vu_dir *d = vu_tree_dir(s->t, i);
	bool is_new = !d->row;
	int r = 0;

	if (d->fate == VU_GONE)
		return 0;
	if (is_new) {
		if (++*row >= UINT32_MAX - 1)
			return -EOVERFLOW;
		d->row = (uint32_t)*row;
	}
	if (is_new || dir_written(d))
		r = vu_save_dir(s, d);
	if (!r)
		r = gather(s, i);
	if (!r)
		r = vu_save_entries(s, PUT_NAME, d, &s->names);
	return r ? r : vu_save_unames(s, d, is_new);
}

/* An inode's place in key order, and its number: sorting looks at no record. */
struct place {
	uint64_t ino;
	uint32_t inode;
};

static int by_ino(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static bool is_written_private(const struct vu_inode *n)
{
	return is_private(n) && is_written(n->fate);
}

/* Counts up from each guest's count to where its part begins. */
static void sum_up(uint32_t *count, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t c = count[i];

		count[i] = sum;
		sum += c;
	}
}

static int save_objects(struct vu_save *s)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < s->t->inodes.n; i++) {
		const struct vu_inode *n = vu_tree_inode(s->t, i);

		if (n->flags & VU_INODE_ADOPTED ||
		    (n->flags & VU_INODE_OBJECT && is_written(n->fate)))
			r = vu_save_object(s, n);
	}
	return r;
}

#define AHEAD 8 /* records that are asked for before they are needed: none lies beside the last */

/* The inodes of one guest with these numbers. place has room for as many. */
static int save_guest_inodes(struct vu_save *s, const uint32_t *v, uint32_t n, struct place *place)
{
	int r = 0;

	for (uint32_t i = 0; i < n; i++)
		place[i] = (struct place){vu_tree_inode(s->t, v[i])->ino, v[i]};
	qsort(place, n, sizeof(*place), by_ino);
	for (uint32_t i = 0; !r && i < n; i++) {
		if (i + AHEAD < n)
			__builtin_prefetch(vu_tree_inode(s->t, place[i + AHEAD].inode));
		r = vu_save_inode(s, vu_tree_inode(s->t, place[i].inode));
	}
	return r;
}

/* Private inodes, guest by guest, sorted within one: sorting all at once would take memory twice. */
static int save_inodes(struct vu_save *s)
{
	struct vu_tree *t = s->t;
	_cleanup_free_ uint32_t *end = calloc(s->guests->n + 1, sizeof(*end));
	_cleanup_free_ uint32_t *order = NULL;
	_cleanup_free_ struct place *place = NULL;
	uint32_t n = 0, most = 0;
	int r = 0;

	if (!end)
		return -ENOMEM;
	for (uint32_t k = 0; k < t->inodes.n; k++)
		if (is_written_private(vu_tree_inode(t, k))) {
			end[vu_tree_inode(t, k)->guest]++;
			n++;
		}
	for (size_t g = 0; g < s->guests->n; g++)
		most = VU_MAX(most, end[g]);
	order = reallocarray(NULL, (size_t)n + 1, sizeof(*order));
	place = reallocarray(NULL, (size_t)most + 1, sizeof(*place));
	if (!order || !place)
		return -ENOMEM;
	sum_up(end, s->guests->n);
	for (uint32_t k = 0; k < t->inodes.n; k++)
		if (is_written_private(vu_tree_inode(t, k)))
			order[end[vu_tree_inode(t, k)->guest]++] = k;
	for (size_t g = 0; !r && g < s->guests->n; g++) {
		uint32_t from = g ? end[g - 1] : 0;

		r = save_guest_inodes(s, order + from, end[g] - from, place);
	}
	return r;
}

/* Directories (and with them names) in the order of guests; within one, in that of the tree. */
static int save_dirs(struct vu_save *s)
{
	uint32_t n = s->t->dirs.n;
	_cleanup_free_ uint32_t *order = reallocarray(NULL, n + 1, sizeof(*order));
	_cleanup_free_ uint32_t *end = calloc(s->guests->n + 1, sizeof(*end));
	int r = 0;

	if (!order || !end)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		end[vu_tree_dir(s->t, i)->guest]++;
	sum_up(end, s->guests->n);
	for (uint32_t i = 0; i < n; i++)
		order[end[vu_tree_dir(s->t, i)->guest]++] = i;
	for (size_t g = 0, i = 0; !r && g < s->guests->n; g++) {
		int64_t row;

		r = vu_sql_number(s->cat->db, 0, &row, "SELECT max(id) FROM dir WHERE guest = ?",
				  "i", vu_save_guest(s, (uint16_t)g));
		for (; !r && i < end[g]; i++)
			r = save_dir(s, order[i], &row);
	}
	return r;
}

static int index_unified(struct vu_save *s)
{
	if (!s->t->unified.n)
		return 0;
	s->unified_head = calloc(s->t->dirs.n + 1, sizeof(*s->unified_head));
	s->unified_next = calloc(s->t->unified.n, sizeof(*s->unified_next));
	if (!s->unified_head || !s->unified_next)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->t->unified.n; i++) {
		const struct vu_unified_name *u = vu_chunks_at(&s->t->unified, i);

		s->unified_next[i] = s->unified_head[u->dir];
		s->unified_head[u->dir] = i + 1;
	}
	return 0;
}

static int save_all(struct vu_save *s)
{
	int64_t dropped;
	int r = vu_save_contents(s);

	if (!r)
		r = vu_save_attrs(s);
	if (!r)
		r = delete_dirs(s);
	if (!r)
		r = delete_names(s);
	if (!r)
		r = delete_inodes(s);
	if (!r)
		r = index_unified(s);
	if (!r)
		r = save_dirs(s);
	if (!r)
		r = save_objects(s);
	if (!r)
		r = save_inodes(s);
	if (r || !s->dropped)
		return r;
	r = vu_catalog_meta_get(s->cat, "dropped", &dropped);
	return r ? r : vu_catalog_meta_set(s->cat, "dropped", dropped + s->dropped);
}

/* What was written is the catalog's state now. */
static void mark_saved(struct vu_tree *t)
{
	for (uint32_t i = 0; i < t->dirs.n; i++) {
		struct vu_dir *d = vu_tree_dir(t, i);

		if (dir_written(d))
			d->fate = VU_KEPT;
		d->flags &= (uint8_t) ~(VU_DIR_LISTED | VU_DIR_TOUCHED);
	}
	for (uint32_t i = 0; i < t->names.n; i++) {
		struct vu_name *n = vu_tree_name(t, i);

		n->fate = n->unified ? VU_GONE : is_written(n->fate) ? VU_KEPT : n->fate;
	}
	for (uint32_t i = 0; i < t->inodes.n; i++) {
		struct vu_inode *n = vu_tree_inode(t, i);

		n->fate = n->flags & VU_INODE_UNIFIED ? VU_GONE
			  : is_written(n->fate)	      ? VU_KEPT
						      : n->fate;
	}
	t->unified.n = 0;
}

/* Every number that leads out of the tree is one of ours. */
static bool guests_ok(const struct vu_guests *guests)
{
	for (size_t i = 0; i < guests->n; i++)
		if (!guests->v[i].id)
			return false;
	return guests->n <= UINT16_MAX;
}

int vu_catalog_save_tree(struct vu_catalog *cat, const struct vu_guests *guests, struct vu_tree *t,
			 unsigned flags)
{
	vu_cleanup(vu_sql_rollback_p) sqlite3 *txn = NULL;
	vu_cleanup(vu_save_done) struct vu_save s = {
		.cat = cat, .guests = guests, .t = t, .flags = flags};

	if (!cat->writable || !guests_ok(guests))
		return -EINVAL;
	cat->message[0] = 0;
	/* each of them decides, so all are called; names look at what became of directories */
	bool dirs = decide_dirs(&s), names = decide_names(&s), inodes = decide_inodes(&s);

	if (!dirs && !names && !inodes)
		return 0;
	int r = vu_sql_begin(cat->db, &txn);

	if (!r)
		r = save_all(&s);
	if (r)
		return vu_catalog_fail(cat, r, NULL);
	r = vu_catalog_commit(cat, &txn);
	if (!r)
		mark_saved(t);
	return r;
}
