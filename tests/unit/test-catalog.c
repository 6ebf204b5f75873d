/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The catalog: what is saved is loaded again, and no file makes it crash. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog-fresh.h"
#include "db/catalog-find.h"
#include "db/catalog-guest.h"
#include "db/catalog-rebuild.h"
#include "db/catalog-run.h"
#include "db/catalog-tree.h"
#include "db/catalog.h"
#include "model/skip.h"
#include "scratch.h"

#define HOSTILE "a\nb\xff\x01"

static char dir[SCRATCH_MAX], path[SCRATCH_PATH_MAX], copy[SCRATCH_PATH_MAX];

static uint32_t add_dir(struct vu_tree *t, uint32_t parent, uint16_t guest, const char *name)
{
	uint32_t d;

	assert_int_equal(vu_tree_dir_add(t, parent, guest, name, &d), 0);
	struct vu_dir *p = vu_tree_dir(t, d);

	p->ino = d + 1000;
	p->mtime_ns = UINT64_MAX - d;
	p->fate = VU_NEW;
	return d;
}

static uint32_t add_file(struct vu_tree *t, uint32_t d, const char *name, uint64_t ino, int content)
{
	struct vu_attr a = {.mode = 0100644, .uid = (uint32_t)(ino % 3)};
	struct vu_digest digest = {{1}};
	uint32_t i, n;

	assert_int_equal(vu_tree_inode_add(t, &i), 0);
	struct vu_inode *p = vu_tree_inode(t, i);

	*p = (struct vu_inode){.ino = ino,
			       .size = 5000 + ino % 3000,
			       .content = VU_NONE,
			       .mtime_ns = UINT64_C(1700000000123456789) + ino,
			       .ctime_ns = UINT64_C(1700000001123456789) + ino * 7919,
			       .first_name = VU_NONE,
			       .key = VU_NONE,
			       .n_links = 1,
			       .guest = vu_tree_dir(t, d)->guest,
			       .skip = VU_SKIP_UNIQUE,
			       .fate = VU_NEW};
	assert_int_equal(vu_attrs_intern(t->attrs, &a, &p->attr), 0);
	if (content >= 0) {
		memcpy(digest.b + 1, &content, sizeof(content));
		digest.b[0] = (uint8_t)content;
		assert_int_equal(vu_tree_content_intern(t, &digest, &p->content), 0);
	}
	assert_int_equal(vu_tree_name_add(t, d, name, i, &n), 0);
	vu_tree_name(t, n)->fate = VU_NEW;
	return i;
}

static struct vu_tree *load(struct vu_catalog *cat, const struct vu_guests *guests)
{
	struct vu_tree *t = vu_tree_new();

	assert_int_equal(vu_catalog_load_tree(cat, guests, t), 0);
	return t;
}

static uint32_t find_dir(struct vu_tree *t, const char *want, uint16_t guest)
{
	for (uint32_t i = 0; i < t->dirs.n; i++) {
		_cleanup_free_ char *p = vu_tree_dir_path(t, i);

		if (vu_tree_dir(t, i)->guest == guest && !strcmp(p, want))
			return i;
	}
	return VU_NONE;
}

static uint32_t find_name(struct vu_tree *t, const char *want, uint16_t guest)
{
	for (uint32_t i = 0; i < t->names.n; i++) {
		_cleanup_free_ char *p = vu_tree_name_path(t, i);

		if (vu_tree_dir(t, vu_tree_name(t, i)->dir)->guest == guest && !strcmp(p, want))
			return i;
	}
	return VU_NONE;
}

static int count(void *arg, uint16_t guest, uint32_t row, uint64_t ino)
{
	uint64_t *sum = arg;

	assert_int_not_equal(row, 0);
	sum[guest] += ino;
	return 0;
}

static char long_name[256];

static void populate(struct vu_catalog *cat, struct vu_guests *gs)
{
	struct vu_tree *t = load(cat, gs);
	uint32_t n;

	memset(long_name, 'x', 255);
	for (uint16_t g = 0; g < 2; g++) {
		uint32_t root = add_dir(t, VU_NONE, g, "");
		uint32_t d = add_dir(t, root, g, HOSTILE);
		uint32_t e = add_dir(t, d, g, "deep");
		uint32_t i = add_file(t, d, "one", UINT64_MAX - 5, 7);

		assert_int_equal(vu_tree_name_add(t, e, long_name, i, &n), 0);
		vu_tree_name(t, n)->fate = VU_NEW;
		add_file(t, d, "two", 50 + g, -1);
		add_file(t, e, HOSTILE, 60, 300);
	}
	assert_int_equal(vu_catalog_save_tree(cat, gs, t, 0), 0);
	vu_tree_free(t);
}

static void test_round_trip(void **state)
{
	struct vu_guests gs;
	struct vu_catalog *cat = catalog_fresh(path, &gs, 2);
	(void)state;

	populate(cat, &gs);
	struct vu_tree *t = load(cat, &gs);

	assert_int_equal(t->dirs.n, 6);
	assert_int_equal(t->inodes.n, 6);
	assert_int_equal(t->names.n, 8);
	assert_int_equal(t->contents.n, 2);
	for (uint16_t g = 0; g < 2; g++) {
		uint32_t one = find_name(t, HOSTILE "/one", g);
		_cleanup_free_ char *other = NULL;

		assert_int_not_equal(one, VU_NONE);
		struct vu_inode *i = vu_tree_inode(t, vu_tree_name(t, one)->inode);

		assert_true(i->ino == UINT64_MAX - 5 && vu_tree_count_names(t, i) == 2 &&
			    i->fate == VU_UNSEEN);
		assert_int_equal(vu_tree_content(t, i->content)->digest.b[0], 7);
		assert_int_equal(i->skip, VU_SKIP_UNIQUE);
		assert_int_equal(vu_attrs_at(t->attrs, i->attr)->uid, i->ino % 3);
		uint32_t deep = find_dir(t, HOSTILE "/deep", g);

		assert_int_not_equal(deep, VU_NONE);
		assert_true(vu_tree_dir(t, deep)->mtime_ns > UINT64_MAX - 10);
		assert_int_equal(asprintf(&other, "%s/deep/%s", HOSTILE, long_name), 266);
		assert_int_equal(vu_tree_name(t, find_name(t, other, g))->inode,
				 vu_tree_name(t, one)->inode);
		assert_int_equal(
			vu_tree_inode(t, vu_tree_name(t, find_name(t, HOSTILE "/two", g))->inode)
				->content,
			VU_NONE);
	}
	vu_tree_free(t);
	assert_int_equal(vu_catalog_close(cat), 0);
	vu_guests_done(&gs);
}

static void test_fates(void **state)
{
	struct vu_guests gs;
	struct vu_catalog *cat = catalog_fresh(path, &gs, 2);
	uint64_t sum[2] = {0};
	struct vu_inomap map = {0};
	uint32_t key;
	(void)state;

	populate(cat, &gs);
	struct vu_tree *t = load(cat, &gs);

	assert_int_equal(vu_catalog_load_objects(cat, "fs-1", 0, t, &map), 0);
	for (uint32_t i = 0; i < t->dirs.n; i++)
		vu_tree_dir(t, i)->fate = VU_KEPT;
	for (uint32_t i = 0; i < t->names.n; i++)
		vu_tree_name(t, i)->fate = VU_KEPT;
	for (uint32_t i = 0; i < t->inodes.n; i++)
		vu_tree_inode(t, i)->fate = VU_KEPT;
	/* guest 0: "one" is adopted; guest 1: "one" is unified with it, "two" changed, deep gone */
	uint32_t a = vu_tree_name(t, find_name(t, HOSTILE "/one", 0))->inode;
	uint32_t b = vu_tree_name(t, find_name(t, HOSTILE "/one", 1))->inode;

	assert_int_equal(vu_chunks_add(&t->objects, 1, &key), 0);
	memset(vu_tree_key(t, key), 9, sizeof(struct vu_key));
	vu_tree_inode(t, a)->flags |= VU_INODE_ADOPTED;
	vu_tree_inode(t, a)->key = key;
	vu_tree_inode(t, b)->flags |= VU_INODE_UNIFIED;
	vu_tree_inode(t, b)->key = a;
	for (uint32_t x = a;; x = b) {
		for (uint32_t n = vu_tree_inode(t, x)->first_name; n != VU_NONE;
		     n = vu_tree_name(t, n)->next)
			vu_tree_name(t, n)->unified = 1;
		if (x == b)
			break;
	}
	uint32_t two = vu_tree_name(t, find_name(t, HOSTILE "/two", 1))->inode;

	vu_tree_inode(t, two)->size = 77;
	vu_tree_inode(t, two)->fate = VU_CHANGED;
	vu_tree_dir(t, find_dir(t, HOSTILE "/deep", 1))->fate = VU_UNSEEN;
	vu_tree_inode(t, vu_tree_name(t, find_name(t, HOSTILE "/deep/" HOSTILE, 1))->inode)->fate =
		VU_UNSEEN;
	uint32_t d = find_dir(t, HOSTILE, 0);

	vu_tree_dir(t, d)->flags |= VU_DIR_LISTED;
	assert_int_equal(vu_tree_unified_add(t, d, "listed", 1000), 0);
	assert_int_equal(vu_catalog_save_tree(cat, &gs, t, 0), 0);
	assert_int_equal(vu_tree_dir(t, d)->flags & VU_DIR_LISTED, 0);
	/* saving again changes nothing */
	assert_int_equal(vu_catalog_save_tree(cat, &gs, t, 0), 0);
	vu_tree_free(t);
	vu_inomap_done(&map);

	t = load(cat, &gs);
	assert_int_equal(t->dirs.n, 5);
	assert_int_equal(find_name(t, HOSTILE "/one", 0), VU_NONE);
	assert_int_equal(find_name(t, HOSTILE "/one", 1), VU_NONE);
	assert_int_equal(t->inodes.n, 3);
	assert_int_equal(
		vu_tree_inode(t, vu_tree_name(t, find_name(t, HOSTILE "/two", 1))->inode)->size,
		77);
	assert_int_equal(vu_catalog_load_objects(cat, "fs-1", 0, t, &map), 0);
	assert_int_equal(map.n, 1);
	assert_true(vu_inomap_get(&map, UINT64_MAX - 5, &key));
	assert_int_equal(vu_tree_key(t, vu_tree_inode(t, key)->key)->hash.b[3], 9);
	assert_int_equal(vu_catalog_load_unified(cat, &gs, count, sum), 0);
	assert_true(sum[0] == 1000 + 2 * (UINT64_MAX - 5)); /* listed, one, and its second name */
	assert_true(sum[1] == UINT64_MAX - 5);
	vu_tree_free(t);
	vu_inomap_done(&map);
	assert_int_equal(vu_catalog_guest_remove(cat, gs.v[0].id), 0);
	t = load(cat, &gs);
	assert_int_equal(t->dirs.n, 2);
	vu_tree_free(t);
	assert_int_equal(vu_catalog_close(cat), 0);
	vu_guests_done(&gs);
}

static int use(void *arg, const struct vu_run *run)
{
	(void)arg;
	return run->id < 0;
}

/* Opens and reads all there is. */
static int read_all(const char *file, enum vu_catalog_mode mode)
{
	struct vu_catalog *cat = NULL;
	struct vu_guests gs = {0};
	struct vu_inomap map = {0};
	uint64_t sum[64] = {0};
	int r = vu_catalog_open(file, mode, &cat, NULL);

	if (r)
		return r;
	struct vu_tree *t = vu_tree_new();

	r = vu_catalog_guests(cat, &gs);
	if (!r)
		r = vu_catalog_load_tree(cat, &gs, t);
	if (!r)
		r = vu_catalog_load_objects(cat, "fs-1", 0, t, &map);
	if (!r)
		r = vu_catalog_load_unified(cat, &gs, count, sum);
	if (!r)
		r = vu_catalog_runs(cat, 10, use, NULL);
	if (!r && mode == VU_CATALOG_WRITE)
		r = vu_catalog_save_tree(cat, &gs, t, 0);
	vu_tree_free(t);
	vu_inomap_done(&map);
	vu_guests_done(&gs);
	vu_catalog_close(cat);
	return r;
}

static void write_copy(const char *data, size_t n)
{
	_cleanup_fd_ int fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, data, n), (ssize_t)n);
}

static void test_damage(void **state)
{
	struct vu_guests gs;
	struct vu_catalog *cat = catalog_fresh(path, &gs, 2);
	struct stat st;
	unsigned damaged = 0, rnd = 1;
	(void)state;

	populate(cat, &gs);
	assert_int_equal(vu_catalog_close(cat), 0);
	vu_guests_done(&gs);
	assert_int_equal(stat(path, &st), 0);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *data = malloc((size_t)st.st_size);
	size_t n = (size_t)st.st_size;

	assert_int_equal(read(fd, data, n), (ssize_t)n);
	for (int i = 0; i < 1500; i++) {
		rnd = rnd * 1103515245 + 12345;
		/* pages fill from their ends: half of the flips go there, and to the header */
		size_t at = (rnd >> 4) % n;
		char old;

		at = i % 3 == 1 ? at / 8192 * 8192 + at % 64
		     : i % 3	? at / 8192 * 8192 + 8191 - at % 400
				: at;
		old = data[at];
		data[at] = (char)(old ^ (1 << (i % 8)));
		write_copy(data, n);
		int r = read_all(copy, i % 2 ? VU_CATALOG_WRITE : VU_CATALOG_READ);

		data[at] = old;
		if (r != 0 && r != VU_CATALOG_DAMAGED && r != VU_CATALOG_FUTURE &&
		    r != VU_CATALOG_OLD && r != VU_CATALOG_MISSING)
			fail_msg("flip at %zu: %d", at, r);
		damaged += r == VU_CATALOG_DAMAGED;
	}
	print_message("# %u of 1500 flips were seen as damage\n", damaged);
	assert_true(damaged > 20);
	for (size_t len = n - 1; len > 4096; len -= 4096 + len % 7) {
		write_copy(data, len);
		int r = read_all(copy, VU_CATALOG_READ);

		assert_true(r == VU_CATALOG_DAMAGED || r == 0);
	}
	write_copy("this is no database, it is text that is long enough", 50);
	assert_int_equal(read_all(copy, VU_CATALOG_WRITE), VU_CATALOG_DAMAGED);
	assert_int_equal(read_all(copy, VU_CATALOG_READ), VU_CATALOG_DAMAGED);
	struct vu_catalog_rebuilt rebuilt = {0};

	assert_int_equal(vu_catalog_rebuild(copy, false, &rebuilt), 0);
	assert_int_equal(access(rebuilt.aside, F_OK), 0);
	assert_int_equal(read_all(copy, VU_CATALOG_READ), 0);
	data[63] = 99; /* user_version */
	write_copy(data, n);
	assert_int_equal(read_all(copy, VU_CATALOG_READ), VU_CATALOG_FUTURE);
	assert_int_equal(read_all(copy, VU_CATALOG_WRITE), VU_CATALOG_FUTURE);
	unlink(rebuilt.aside);
	vu_catalog_rebuilt_done(&rebuilt);
	unlink(copy);
	assert_int_equal(read_all(copy, VU_CATALOG_READ), VU_CATALOG_MISSING);
	assert_int_not_equal(access(copy, F_OK), 0);
}

/*
 * SQLite holds any value in any column: what is no whole number is damage, never rounded to one; and a name of another
 * type than ours would stay beside the one that is written in its place.
 */
static void test_types(void **state)
{
	static const char *const wrong[] = {
		"UPDATE inode SET ino = ino + 0.5 WHERE ino > 0",
		"UPDATE inode SET mtime_ns = 1.5",
		"UPDATE inode SET attr = 'x'",
		"UPDATE inode SET content = NULL",
		"UPDATE dir SET ctime_ns = 'now'",
		"UPDATE dir SET n_dirs = 0.5",
		"UPDATE name SET ino = ino || 'x'",
		"UPDATE guest SET ino = ino || 'x'",
		"UPDATE name SET name = 2 WHERE name = (SELECT min(name) FROM name)",
		"UPDATE name SET name = CAST(name AS TEXT)",
		"UPDATE dir SET name = 2 WHERE parent",
	};
	struct vu_guests gs;
	struct vu_catalog *cat;
	char cmd[SCRATCH_PATH_MAX + 128];
	(void)state;

	if (system("command -v sqlite3 >/dev/null")) {
		print_message("# skip: needs sqlite3\n");
		skip();
	}
	for (size_t i = 0; i < VU_ARRAY_SIZE(wrong); i++) {
		cat = catalog_fresh(path, &gs, 2);
		populate(cat, &gs);
		assert_int_equal(vu_catalog_close(cat), 0);
		vu_guests_done(&gs);
		assert_int_equal(read_all(path, VU_CATALOG_READ), 0);
		snprintf(cmd, sizeof(cmd), "sqlite3 '%s' \"%s\"", path, wrong[i]);
		assert_int_equal(system(cmd), 0);
		if (read_all(path, VU_CATALOG_READ) != VU_CATALOG_DAMAGED)
			fail_msg("taken: %s", wrong[i]);
	}
}

/* Runs end, and stats come back. */
static void test_run(void **state)
{
	struct vu_guests gs;
	struct vu_catalog *cat = catalog_fresh(path, &gs, 1);
	struct vu_run run = {.verb = "scan", .started_ns = 5};
	struct vu_guest_stat in = {.guest = gs.v[0].id, .dirs = 3}, out;
	(void)state;

	in.skip_files[VU_SKIP_SETID] = 4;
	assert_int_equal(vu_catalog_run_begin(cat, &run), 0);
	assert_int_equal(vu_catalog_run_end(cat, &run, &in, 1), 0);
	assert_int_equal(vu_catalog_guest_stat(cat, in.guest, &out), 0);
	assert_true(out.dirs == 3 && out.run == run.id && out.skip_files[VU_SKIP_SETID] == 4);
	vu_catalog_close(cat);
	vu_guests_done(&gs);
}

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* At most 130 bytes a file, all private, all read and different for every second one. */
static void test_size(void **state)
{
	struct vu_guests gs;
	struct vu_catalog *cat = catalog_fresh(path, &gs, 10);
	struct vu_tree *t = load(cat, &gs);
	struct stat st;
	uint64_t ino = 300000;
	(void)state;

	for (uint32_t i = 0; i < 100000; i++) {
		char name[64];
		uint16_t g = (uint16_t)(i % 10);

		snprintf(name, sizeof(name), "lib-file-%u.so.1", i / 10);
		if (i < 10)
			add_dir(t, VU_NONE, g, "");
		else if (i < 12000)
			add_dir(t, i - i % 10 - 10 + g > i / 20 * 10 ? i / 100 * 10 + g : g, g,
				name);
		add_file(t, (i < 12000 ? i : i * 7919U % 1200 * 10 + g), name, ino++, (int)(i / 2));
	}
	double start = cpu();

	assert_int_equal(vu_catalog_save_tree(cat, &gs, t, 0), 0);
	double saved = cpu();

	assert_int_equal(vu_catalog_close(cat), 0);
	double closed = cpu();

	vu_tree_free(t);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_READ, &cat, NULL), 0);
	double before = cpu();

	t = load(cat, &gs);
	print_message("# %.1f B a file, save %.3f s, close %.3f s, load %.3f s\n",
		      (double)st.st_size / 100000, saved - start, closed - saved, cpu() - before);
	assert_int_equal(t->names.n, 100000);
	assert_true(st.st_size / 100000 < 130);
	vu_tree_free(t);
	vu_catalog_close(cat);
	vu_guests_done(&gs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_fates),
		cmocka_unit_test(test_run),	   cmocka_unit_test(test_damage),
		cmocka_unit_test(test_types),	   cmocka_unit_test(test_size),

	};

	if (!scratch_dir(dir, "test-catalog"))
		return 1;
	snprintf(path, sizeof(path), "%s/c.db", dir);
	snprintf(copy, sizeof(copy), "%s/copy.db", dir);
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	unlink(path);
	unlink(copy);
	rmdir(dir);
	return r;
}
