/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The unified names of a directory that was read again: the rows become what there is, and no other is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "db/catalog-guest.h"
#include "db/catalog-int.h"
#include "db/catalog-tree.h"
#include "scratch.h"

#define N 40 /* names that there may be */

static char dir[SCRATCH_MAX], path[SCRATCH_PATH_MAX];
static char names[N][NAME_MAX + 1];

/* Neighbours in the order of bytes, prefixes of each other, bytes that are no text, the longest. */
static void make_names(void)
{
	for (int i = 0; i < N; i++)
		snprintf(names[i], sizeof(names[i]), "%c%s%s", "aB\xff\x01"[i % 4],
			 i % 3 ? "" : "\n", i < 8 ? "" : "same");
	for (int i = 0; i < N; i++) {
		size_t n = strlen(names[i]);

		memset(names[i] + n, i % 2 ? 'x' : '\xc3', (size_t)i);
		names[i][n + (size_t)i] = 0;
	}
	memset(names[0], 'x', NAME_MAX);
}

static struct vu_catalog *open_new(struct vu_guests *guests)
{
	struct vu_catalog *cat = NULL;
	struct vu_guest g = {.name = strdup("g"),
			     .path = strdup("/g"),
			     .domain = strdup(""),
			     .fs_id = strdup("fs"),
			     .ino = 9};

	unlink(path);
	*guests = (struct vu_guests){0};
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_WRITE, &cat, NULL), 0);
	assert_int_equal(vu_catalog_guest_add(cat, &g), 0);
	assert_int_equal(vu_guests_add_consume(guests, &g), 0);
	return cat;
}

/* Saves the root as listed, with names[i] of the object ino[i] where that is not 0. Returns how many rows changed. */
static int save(struct vu_catalog *cat, const struct vu_guests *gs, const uint64_t ino[N])
{
	struct vu_tree *t = vu_tree_new();
	uint32_t root = 0;
	int before;

	assert_int_equal(vu_catalog_load_tree(cat, gs, t), 0);
	if (!t->dirs.n)
		assert_int_equal(vu_tree_dir_add(t, VU_NONE, 0, "", &root), 0);
	struct vu_dir *d = vu_tree_dir(t, root);

	d->fate = d->row ? VU_KEPT : VU_NEW;
	d->flags |= VU_DIR_LISTED;
	for (int i = 0; i < N; i++)
		if (ino[i])
			assert_int_equal(vu_tree_unified_add(t, root, names[i], ino[i]), 0);
	before = sqlite3_total_changes(cat->db);
	assert_int_equal(vu_catalog_save_tree(cat, gs, t, 0), 0);
	vu_tree_free(t);
	return sqlite3_total_changes(cat->db) - before;
}

static void assert_rows(struct vu_catalog *cat, const uint64_t ino[N])
{
	_cleanup_stmt_ sqlite3_stmt *s = NULL;
	int n = 0, want = 0;

	assert_int_equal(vu_sql_prepare(cat->db, "SELECT name, ino FROM uname", &s), 0);
	for (; sqlite3_step(s) == SQLITE_ROW; n++) {
		bool known = false;

		for (int i = 0; i < N && !known; i++)
			known = strlen(names[i]) == (size_t)sqlite3_column_bytes(s, 0) &&
				!memcmp(names[i], sqlite3_column_blob(s, 0), strlen(names[i])) &&
				ino[i] && (uint64_t)sqlite3_column_int64(s, 1) == ino[i];
		assert_true(known);
	}
	for (int i = 0; i < N; i++)
		want += !!ino[i];
	assert_int_equal(n, want);
}

static void test_only_what_differs(void **state)
{
	struct vu_guests gs;
	struct vu_catalog *cat = open_new(&gs);
	uint64_t ino[N] = {0}, old[N];

	(void)state;
	srand(1);
	for (int round = 0; round < 300; round++) {
		int differ = 0;

		memcpy(old, ino, sizeof(old));
		for (int i = 0; i < N; i++)
			if (rand() % 8 < round % 9) /* from none to all */
				ino[i] = rand() % 3 ? UINT64_MAX - (uint64_t)(rand() % 1000) : 0;
		for (int i = 0; i < N; i++)
			differ += ino[i] != old[i];
		/* the first is a row of the directory as well */
		assert_int_equal(save(cat, &gs, ino), differ + !round);
		assert_rows(cat, ino);
	}
	assert_int_equal(vu_catalog_close(cat), 0);
	vu_guests_done(&gs);
}

/* Rows that nobody has written go away with the next save of their directory. */
static void test_odd_rows(void **state)
{
	static const char *const odd[] = {
		"INSERT INTO uname VALUES (1, 1, 'text', 5)",
		"INSERT INTO uname VALUES (1, 1, 7, 5)",
		"INSERT INTO uname VALUES (1, 1, x'', 5)",
		"INSERT INTO uname VALUES (1, 1, x'610062', 5)",
		"INSERT INTO uname VALUES (1, 1, zeroblob(300), 5)",
		"INSERT INTO uname VALUES (1, 1, CAST(printf('%.300c', 'm') AS BLOB), 5)",
		"UPDATE uname SET ino = 'word'",
		"UPDATE uname SET name = x'00' || name",
	};
	struct vu_guests gs;
	struct vu_catalog *cat = open_new(&gs);
	uint64_t ino[N];

	(void)state;
	for (int i = 0; i < N; i++)
		ino[i] = i % 5 ? (uint64_t)i : 0;
	save(cat, &gs, ino);
	for (size_t i = 0; i < VU_ARRAY_SIZE(odd); i++) {
		assert_int_equal(vu_sql_exec(cat->db, odd[i]), 0);
		save(cat, &gs, ino);
		assert_rows(cat, ino);
	}
	assert_int_equal(vu_catalog_close(cat), 0);
	vu_guests_done(&gs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_what_differs),
		cmocka_unit_test(test_odd_rows),
	};

	if (!scratch_dir(dir, "test-catalog-unames"))
		return 1;
	snprintf(path, sizeof(path), "%s/c.db", dir);
	make_names();
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	unlink(path);
	rmdir(dir);
	return r;
}
