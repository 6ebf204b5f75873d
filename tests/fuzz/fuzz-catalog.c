/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A catalog that somebody else wrote. The first byte chooses: rows of any values in the tables that
 * there are; or bytes of the file that were changed. Whatever is loaded holds together (every number
 * is one of the tree, every name one that a directory can hold, every version of a template's file one
 * behind another); and what was loaded and is saved again is loaded as the same.
 */
#include "fuzz.h"

#include <sqlite3.h>

#include "base/cleanup.h"
#include "db/catalog-find.h"
#include "db/catalog-guest.h"
#include "db/catalog-run.h"
#include "db/catalog-template.h"
#include "db/catalog-tree.h"
#include "model/skip.h"

#define GUESTS 2

static char path[64];
static char *template;
static size_t template_size;

/* An empty catalog with two guests, made once. */
static void make_template(void)
{
	struct vu_catalog *cat = NULL;
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/c.db", scratch_fd());
	CHECK(!vu_catalog_open(path, VU_CATALOG_WRITE, &cat, NULL));
	for (uint64_t i = 0; i < GUESTS; i++) {
		char name[] = {(char)('a' + i), 0}, at[] = "/g", domain[] = "", fs[] = "fs-1";
		struct vu_guest g = {
			.name = name, .path = at, .domain = domain, .fs_id = fs, .ino = 10 + i};

		CHECK(!vu_catalog_guest_add(cat, &g));
	}
	CHECK(!vu_catalog_close(cat));
	CHECK(!stat(path, &st));
	template_size = (size_t)st.st_size;
	template = malloc(template_size);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK(template && read(fd, template, template_size) == (ssize_t)template_size);
	close(fd);
}

struct table {
	const char *insert;
	int columns;
};

static const struct table tables[] = {
	{"INSERT OR REPLACE INTO dir VALUES (?,?,?,?,?,?,?,?,?,?,?)", 11},
	{"INSERT OR REPLACE INTO name VALUES (?,?,?,?)", 4},
	{"INSERT OR REPLACE INTO inode VALUES (?,?,?,?,?,?,?,?,?)", 9},
	{"INSERT OR REPLACE INTO content VALUES (?,?)", 2},
	{"INSERT OR REPLACE INTO attr VALUES (?,?,?,?,?,?,?,?,?)", 9},
	{"INSERT OR REPLACE INTO uname VALUES (?,?,?,?)", 4},
	{"INSERT OR REPLACE INTO object VALUES (?,?,?,?,?,?,?,?,?,?)", 10},
	{"INSERT OR REPLACE INTO fs VALUES (?,?)", 2},
	{"INSERT OR REPLACE INTO guest VALUES (?,?,?,?,?,?,?,?,?,?)", 10},
	{"INSERT OR REPLACE INTO guest_stat VALUES (?,?,?,?,?,?,?,?,?)", 9},
	{"INSERT OR REPLACE INTO guest_skip VALUES (?,?,?,?)", 4},
	{"INSERT OR REPLACE INTO run VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", 17},
	{"INSERT OR REPLACE INTO meta VALUES (?,?)", 2},
	{"INSERT OR REPLACE INTO template_note VALUES (?,?)", 2},
	{"INSERT OR REPLACE INTO template_file VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", 15},
};

/* Those of templates came later: the other bytes mean what they did when the corpus was found. */
#define FIRST_TEMPLATES 13
#define TEMPLATES_BYTE 247

static const struct table *take_table(struct input *in)
{
	uint8_t b = take_byte(in);

	return &tables[b < TEMPLATES_BYTE ? b % FIRST_TEMPLATES : FIRST_TEMPLATES + b % 2];
}

/* A byte says what follows; most values are small numbers, which is what leads on. */
static void bind(sqlite3_stmt *s, int col, struct input *in)
{
	uint8_t how = take_byte(in), digest[VU_DIGEST_BYTES];

	if (how < 200) {
		sqlite3_bind_int64(s, col, how);
	} else if (how < 210) {
		sqlite3_bind_int64(s, col, (int64_t)take_number(in));
	} else if (how < 230) {
		size_t n = VU_MIN((size_t)how - 210, in->n);

		sqlite3_bind_blob(s, col, in->p, (int)n, SQLITE_TRANSIENT);
		in->p += n;
		in->n -= n;
	} else if (how < 240) {
		memset(digest, how, sizeof(digest));
		sqlite3_bind_blob(s, col, digest, sizeof(digest), SQLITE_TRANSIENT);
	} else if (how < 248) {
		sqlite3_bind_text(s, col, how & 1 ? "fs-1" : "name", -1, SQLITE_STATIC);
	} else if (how < 252) {
		sqlite3_bind_double(s, col, how / 3.0);
	} else {
		sqlite3_bind_null(s, col);
	}
}

static void put_rows(struct input *in)
{
	sqlite3 *db = NULL;

	put_file_at(scratch_fd(), "c.db", template, template_size);
	CHECK(!sqlite3_open(path, &db));
	sqlite3_exec(db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN", NULL, NULL,
		     NULL);
	while (in->n) {
		const struct table *t = take_table(in);
		sqlite3_stmt *s = NULL;

		CHECK(!sqlite3_prepare_v2(db, t->insert, -1, &s, NULL));
		for (int i = 1; i <= t->columns; i++)
			bind(s, i, in);
		sqlite3_step(s); /* constraints may refuse it */
		sqlite3_finalize(s);
	}
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	CHECK(!sqlite3_close(db));
}

static void put_bytes(struct input *in)
{
	_cleanup_free_ char *copy = malloc(template_size);

	CHECK(copy);
	memcpy(copy, template, template_size);
	while (in->n > 3) {
		size_t at = (size_t)take_byte(in) << 16 | (size_t)take_byte(in) << 8;

		at |= take_byte(in);
		copy[at % template_size] = (char)take_byte(in);
	}
	put_file_at(scratch_fd(), "c.db", copy, template_size);
}

static bool is_name(const char *s)
{
	return *s && !strchr(s, '/') && strcmp(s, ".") && strcmp(s, "..") && strlen(s) < 256;
}

static void check_inode(const struct vu_tree *t, uint32_t i)
{
	const struct vu_inode *n = vu_tree_inode(t, i);

	CHECK(n->ino && n->size <= INT64_MAX && n->skip < VU_SKIP_N);
	CHECK(n->attr == VU_NONE || n->attr < vu_attrs_count(t->attrs));
	CHECK(n->content == VU_NONE || n->content < t->contents.n);
	if (n->flags & VU_INODE_OBJECT)
		CHECK(n->key < t->objects.n && n->first_name == VU_NONE);
	else
		CHECK(n->guest < GUESTS + 64 && n->key == VU_NONE);
	CHECK(vu_tree_count_names(t, n) <= t->names.n);
}

static void check_tree(const struct vu_tree *t)
{
	for (uint32_t i = 0; i < t->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(t, i);

		CHECK(d->row && (d->parent == VU_NONE || d->parent < i));
		/* one root a guest, and it stands first */
		CHECK((d->parent == VU_NONE) == (!i || vu_tree_dir(t, i - 1)->guest != d->guest));
		if (d->parent == VU_NONE)
			CHECK(!*vu_tree_text(t, d->name));
		else
			CHECK(is_name(vu_tree_text(t, d->name)) &&
			      vu_tree_dir(t, d->parent)->guest == d->guest);
	}
	for (uint32_t i = 0; i < t->names.n; i++) {
		const struct vu_name *n = vu_tree_name(t, i);
		_cleanup_free_ char *p = vu_tree_name_path(t, i);

		CHECK(n->dir < t->dirs.n && n->inode < t->inodes.n && p);
		CHECK(is_name(vu_tree_text(t, n->name)));
		CHECK(vu_tree_dir(t, n->dir)->guest == vu_tree_inode(t, n->inode)->guest);
	}
	for (uint32_t i = 0; i < t->inodes.n; i++)
		check_inode(t, i);
}

static int on_unified(void *arg, uint16_t guest, uint32_t dir, uint64_t ino)
{
	(void)guest;
	(void)dir;
	CHECK(ino && arg);
	return 0;
}

static int on_run(void *arg, const struct vu_run *run)
{
	(void)arg;
	CHECK(memchr(run->verb, 0, sizeof(run->verb)));
	return 0;
}

static int on_path(void *arg, const char *name)
{
	(void)arg;
	CHECK(*name && *name != '/');
	return 0;
}

static int load(struct vu_catalog *cat, struct vu_guests *gs, struct vu_tree **ret)
{
	struct vu_inomap map = {0};
	struct vu_tree *t = vu_tree_new();

	CHECK(t);
	int r = vu_catalog_load_tree(cat, gs, t);

	if (!r)
		r = vu_catalog_load_objects(cat, "fs-1", 0, t, &map);
	vu_inomap_done(&map);
	CHECK(r == 0 || r == VU_CATALOG_DAMAGED);
	if (r)
		t = vu_tree_free(t);
	else
		check_tree(t);
	*ret = t;
	return r;
}

/* All of it is saved as if it had changed. */
static void check_saved(struct vu_catalog *cat, struct vu_guests *gs, struct vu_tree *t)
{
	struct vu_tree *again = NULL;
	uint32_t dirs = t->dirs.n, names = t->names.n, inodes = t->inodes.n;

	for (uint32_t i = 0; i < t->dirs.n; i++)
		vu_tree_dir(t, i)->fate = VU_CHANGED;
	for (uint32_t i = 0; i < t->names.n; i++)
		vu_tree_name(t, i)->fate = VU_CHANGED;
	for (uint32_t i = 0; i < t->inodes.n; i++)
		vu_tree_inode(t, i)->fate = VU_CHANGED;
	int r = vu_catalog_save_tree(cat, gs, t, 0);

	CHECK(r == 0 || r == VU_CATALOG_DAMAGED);
	if (r)
		return;
	CHECK(!load(cat, gs, &again));
	CHECK(again->dirs.n == dirs && again->names.n == names && again->inodes.n == inodes);
	for (uint32_t i = 0; i < dirs; i++)
		CHECK(vu_tree_dir(again, i)->ino == vu_tree_dir(t, i)->ino &&
		      vu_tree_dir(again, i)->flags == vu_tree_dir(t, i)->flags);
	for (uint32_t i = 0; i < inodes; i++)
		CHECK(vu_tree_inode(again, i)->ino == vu_tree_inode(t, i)->ino &&
		      vu_tree_inode(again, i)->size == vu_tree_inode(t, i)->size);
	vu_tree_free(again);
}

static void check_templates(const struct vu_template_files *fs)
{
	for (size_t i = 0; i < fs->n; i++) {
		const struct vu_template_file *f = &fs->v[i];

		CHECK(*f->path && *f->path != '/' && f->n && f->n <= VU_TEMPLATE_VERSIONS);
		CHECK(!i || strcmp(fs->v[i - 1].path, f->path) < 0);
		CHECK(vu_template_files_find(fs, f->path) == f);
		for (unsigned k = 0; k < f->n; k++)
			CHECK(f->v[k].attr.full && f->v[k].size <= INT64_MAX);
	}
}

static bool same_file(const struct vu_template_file *a, const struct vu_template_file *b)
{
	if (strcmp(a->path, b->path) || a->n != b->n ||
	    memcmp(&a->stamp, &b->stamp, sizeof(a->stamp)))
		return false;
	for (unsigned k = 0; k < a->n; k++)
		if (a->v[k].size != b->v[k].size ||
		    memcmp(&a->v[k].content, &b->v[k].content, sizeof(a->v[k].content)) ||
		    memcmp(&a->v[k].packages, &b->v[k].packages, sizeof(a->v[k].packages)) ||
		    a->v[k].attr.mode != b->v[k].attr.mode ||
		    a->v[k].attr.has_xattrs != b->v[k].attr.has_xattrs)
			return false;
	return true;
}

/* What a guest has as a template is saved again, and is the same then. */
static void read_templates(struct vu_catalog *cat, uint32_t guest, bool writable)
{
	struct vu_template_files fs = {0}, again = {0};
	struct vu_template_note note;
	int r = vu_catalog_template_load(cat, guest, &fs);

	CHECK(r == 0 || r == VU_CATALOG_DAMAGED);
	vu_catalog_template_note(cat, guest, &note);
	if (!r)
		check_templates(&fs);
	if (!r && writable && !vu_catalog_template_save(cat, guest, &fs, 1)) {
		CHECK(!vu_catalog_template_load(cat, guest, &again) && again.n == fs.n);
		for (size_t i = 0; i < fs.n; i++)
			CHECK(same_file(&fs.v[i], &again.v[i]));
	}
	vu_template_files_done(&again);
	vu_template_files_done(&fs);
}

static void read_all(struct vu_catalog *cat, bool writable)
{
	struct vu_guests gs = {0};
	struct vu_tree *t = NULL;
	struct vu_guest_stat stat;
	struct vu_found_inode inode;
	int64_t v;
	int r = vu_catalog_guests(cat, &gs);

	for (size_t i = 0; !r && i < gs.n; i++) {
		vu_catalog_guest_stat(cat, gs.v[i].id, &stat);
		vu_catalog_find_inode(cat, gs.v[i].id, 3, &inode);
		vu_catalog_find_unified(cat, gs.v[i].id, 3, 10, on_path, NULL);
		read_templates(cat, gs.v[i].id, writable);
	}
	vu_catalog_meta_get(cat, "name", &v);
	vu_catalog_runs(cat, 10, on_run, NULL);
	if (!r && !vu_catalog_load_unified(cat, &gs, on_unified, &gs) && gs.n <= GUESTS + 64)
		r = load(cat, &gs, &t);
	if (!r && t && writable)
		check_saved(cat, &gs, t);
	vu_tree_free(t);
	vu_guests_done(&gs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct vu_catalog *cat = NULL;
	uint8_t how = take_byte(&in);

	if (!template)
		make_template();
	unlinkat(scratch_fd(), "c.db-wal", 0);
	unlinkat(scratch_fd(), "c.db-shm", 0);
	unlinkat(scratch_fd(), "c.db-journal", 0);
	if (how & 1)
		put_rows(&in);
	else
		put_bytes(&in);
	if (vu_catalog_open(path, how & 2 ? VU_CATALOG_WRITE : VU_CATALOG_READ, &cat, NULL))
		return 0;
	read_all(cat, how & 2);
	vu_catalog_close(cat);
	return 0;
}
