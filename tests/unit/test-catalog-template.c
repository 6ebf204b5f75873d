/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What templates had, in the catalog: saved, loaded, forgotten; and rows that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "db/catalog-guest.h"
#include "db/catalog-rebuild.h"
#include "db/catalog-template.h"
#include "match/follow.h"
#include "scratch.h"

static char dir[SCRATCH_MAX], path[SCRATCH_PATH_MAX];

static int setup(void **state)
{
	(void)state;
	if (!scratch_dir(dir, "test-catalog-template"))
		return -1;
	snprintf(path, sizeof(path), "%s/catalog.db", dir);
	return 0;
}

static int teardown(void **state)
{
	char cmd[SCRATCH_PATH_MAX + 16];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

static struct vu_catalog *open_it(void)
{
	struct vu_catalog *cat = NULL;

	assert_int_equal(vu_catalog_open(path, VU_CATALOG_WRITE, &cat, NULL), 0);
	return cat;
}

static void sql(const char *text)
{
	char cmd[2 * SCRATCH_PATH_MAX + 512];

	snprintf(cmd, sizeof(cmd), "sqlite3 '%s' \"%s\"", path, text);
	assert_int_equal(system(cmd), 0);
}

static void note(struct vu_template_file *f, uint8_t content, bool xattrs)
{
	struct vu_template_version v = {
		.content = {.b = {content, 0, 7}},
		.packages = {.b = {5}},
		.attr = {.mode = 0104755,
			 .uid = UINT32_MAX,
			 .gid = 3,
			 .flags = 1U << 31,
			 .full = true,
			 .has_xattrs = xattrs,
			 .has_caps = xattrs},
		.size = 123456789012,
	};

	if (xattrs)
		v.attr.xattrs.b[4] = 9;
	assert_true(vu_follow_note(f, &v) > 0);
}

static struct vu_template_files some(void)
{
	struct vu_template_files fs = {0};
	struct vu_template_file *f = vu_template_files_add(&fs, "usr/bin/b");

	note(f, 1, false);
	note(f, 2, true);
	note(f, 3, false);
	f->stamp = (struct vu_template_stamp){.ino = UINT64_MAX, .mtime_ns = 1, .ctime_ns = 2};
	note(vu_template_files_add(&fs, "usr/bin/a\nb\xff"), 4, true);
	vu_template_files_sort(&fs);
	return fs;
}

static void assert_same(const struct vu_template_files *a, const struct vu_template_files *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_string_equal(a->v[i].path, b->v[i].path);
		assert_memory_equal(&a->v[i].stamp, &b->v[i].stamp, sizeof(a->v[i].stamp));
		assert_int_equal(a->v[i].n, b->v[i].n);
		for (unsigned k = 0; k < a->v[i].n; k++) {
			const struct vu_template_version *x = &a->v[i].v[k], *y = &b->v[i].v[k];

			assert_memory_equal(&x->content, &y->content, sizeof(x->content));
			assert_memory_equal(&x->packages, &y->packages, sizeof(x->packages));
			assert_memory_equal(&x->attr.xattrs, &y->attr.xattrs,
					    sizeof(x->attr.xattrs));
			assert_int_equal(x->size, y->size);
			assert_int_equal(x->attr.mode, y->attr.mode);
			assert_int_equal(x->attr.uid, y->attr.uid);
			assert_int_equal(x->attr.flags, y->attr.flags);
			assert_int_equal(x->attr.has_caps, y->attr.has_caps);
		}
	}
}

static void what_is_saved_is_loaded(void **state)
{
	struct vu_template_files fs = some(), got = {0};
	struct vu_template_note n;
	struct vu_catalog *cat = open_it();

	(void)state;
	assert_int_equal(vu_catalog_template_note(cat, 7, &n), 0);
	assert_int_equal(n.noted_ns, 0);
	assert_int_equal(vu_catalog_template_save(cat, 8, &fs, 4), 0);
	assert_int_equal(vu_catalog_template_save(cat, 7, &fs, 5), 0);
	assert_int_equal(vu_catalog_template_save(cat, 7, &fs, 6), 0);
	assert_int_equal(vu_catalog_close(cat), 0);
	cat = open_it();
	assert_int_equal(vu_catalog_template_load(cat, 7, &got), 0);
	assert_same(&got, &fs);
	assert_non_null(vu_template_files_find(&got, "usr/bin/b"));
	assert_null(vu_template_files_find(&got, "usr/bin/c"));
	vu_template_files_done(&got);
	assert_int_equal(vu_catalog_template_note(cat, 7, &n), 0);
	assert_int_equal(n.noted_ns, 6);
	assert_int_equal(n.files, 2);
	assert_int_equal(n.changed, 1);
	assert_int_equal(vu_catalog_template_forget(cat, 7), 0);
	assert_int_equal(vu_catalog_template_load(cat, 7, &got), 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(vu_catalog_template_load(cat, 8, &got), 0);
	assert_int_equal(got.n, 2);
	vu_template_files_done(&got);
	vu_template_files_done(&fs);
	vu_catalog_close(cat);
}

static void rows_that_cannot_be_are_damage(void **state)
{
	static const char *const bad[] = {
		"UPDATE template_file SET path = x'2f61' WHERE age = 0 AND path = x'612f62'",
		"UPDATE template_file SET path = x'6100' WHERE path = x'612f62'",
		"UPDATE template_file SET path = x'' WHERE path = x'612f62'",
		"UPDATE template_file SET age = 5 WHERE age = 2",
		"UPDATE template_file SET age = -1 WHERE age = 0",
		"DELETE FROM template_file WHERE age = 0",
		"UPDATE template_file SET content = x'00'",
		"UPDATE template_file SET packages = NULL",
		"UPDATE template_file SET xattrs = 'long'",
		"UPDATE template_file SET size = -1",
		"UPDATE template_file SET mode = 'x'",
		"UPDATE template_file SET has_caps = 2",
		/* the same path twice: once as a text, which comes first */
		"INSERT INTO template_file SELECT guest, CAST(path AS TEXT), age, content, packages, "
		"size, mode, uid, gid, flags, xattrs, has_caps, ino, mtime_ns, ctime_ns "
		"FROM template_file",
	};
	struct vu_template_files got = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct vu_template_files fs = {0};
		struct vu_template_file *f = vu_template_files_add(&fs, "a/b");
		struct vu_catalog *cat = open_it();

		note(f, 1, false);
		note(f, 2, false);
		note(f, 3, false);
		assert_int_equal(vu_catalog_template_save(cat, 8, &fs, 4), 0);
		assert_int_equal(vu_catalog_template_forget(cat, 7), 0);
		vu_catalog_close(cat);
		vu_template_files_done(&fs);
		sql(bad[i]);
		cat = open_it();
		int r = vu_catalog_template_load(cat, 8, &got);

		if (r != VU_CATALOG_DAMAGED)
			fail_msg("%d after %s", r, bad[i]);
		vu_catalog_close(cat);
	}
}

static void add_guest(struct vu_catalog *cat, const char *name, uint64_t ino, bool template)
{
	struct vu_guest g = {.name = strdup(name),
			     .path = strdup("/g"),
			     .domain = strdup(""),
			     .fs_id = strdup("fs-1"),
			     .ino = ino,
			     .template = template};

	assert_int_equal(vu_catalog_guest_add(cat, &g), 0);
	vu_guest_done(&g);
}

/* Also by a rebuild, and with an older catalog, of which the seals hold. */
static void templates_are_remembered(void **state)
{
	struct vu_catalog_rebuilt out = {0};
	struct vu_guests gs = {0};

	(void)state;
	unlink(path);
	struct vu_catalog *cat = open_it();

	add_guest(cat, "a", 1, false);
	add_guest(cat, "t", 2, true);
	vu_catalog_close(cat);
	assert_int_equal(vu_catalog_rebuild(path, false, &out), 0);
	assert_int_equal(out.kept.n, 2);
	vu_catalog_rebuilt_done(&out);
	cat = open_it();
	assert_int_equal(vu_catalog_guests(cat, &gs), 0);
	assert_false(gs.v[0].template);
	assert_true(gs.v[1].template);
	vu_guests_done(&gs);
	vu_catalog_close(cat);

	/* made a template behind our back: its seal does not fit */
	sql("UPDATE guest SET template = 1 WHERE name = 'a'");
	cat = open_it();
	assert_int_equal(vu_catalog_guests(cat, &gs), VU_CATALOG_DAMAGED);
	vu_catalog_close(cat);
	sql("UPDATE guest SET template = 0 WHERE name = 'a'; DELETE FROM guest WHERE name = 't';"
	    " ALTER TABLE guest DROP COLUMN template; DROP TABLE template_file;"
	    " DROP TABLE template_note; PRAGMA user_version = 2");
	assert_int_equal(vu_catalog_rebuild(path, true, &out), 0);
	assert_int_equal(out.kept.n, 1);
	assert_string_equal(out.kept.v[0].name, "a");
	vu_catalog_rebuilt_done(&out);
	cat = open_it();
	assert_int_equal(vu_catalog_guests(cat, &gs), 0);
	assert_int_equal(gs.n, 1);
	vu_guests_done(&gs);
	vu_catalog_close(cat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_saved_is_loaded),
		cmocka_unit_test(rows_that_cannot_be_are_damage),
		cmocka_unit_test(templates_are_remembered),
	};

	return cmocka_run_group_tests_name("catalog-template", tests, setup, teardown);
}
