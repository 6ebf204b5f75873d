/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A catalog that others have open or write beside this one, or that an older version made. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog-fresh.h"
#include "db/catalog-broken.h"
#include "db/catalog-run.h"
#include "db/catalog.h"
#include "scratch.h"

static char dir[SCRATCH_MAX], path[SCRATCH_PATH_MAX];

/* By a program that answers a guest's calls while a run may have the catalog open. */
static void test_broken(void **state)
{
	static const char *const some[] = {"usr/a", "usr/\377b"}, *const more[] = {"usr/a", ""};
	struct vu_guests guests;
	struct vu_catalog *cat = catalog_fresh(path, &guests, 2), *note = NULL;
	struct vu_run run = {.verb = "scan", .started_ns = 150};
	struct vu_guest_stat stat = {.guest = guests.v[0].id};
	uint32_t id = guests.v[0].id;
	uint64_t n;

	(void)state;
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_NOTE, &note, NULL), 0);
	assert_int_equal(vu_catalog_broken_add(note, id, some, 2, 100), 0);
	assert_int_equal(vu_catalog_broken_add(note, id, more, 2, 200), 0);
	assert_int_equal(vu_catalog_broken_add(note, 77, some, 2, 100), 0);
	assert_int_equal(vu_catalog_broken_count(cat, id, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(vu_catalog_close(note), 0);
	assert_int_equal(vu_catalog_broken_count(cat, 77, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(vu_catalog_broken_count(cat, guests.v[1].id, &n), 0);
	assert_int_equal(n, 0);
	/* what was broken after the run began it may not have seen */
	assert_int_equal(vu_catalog_run_begin(cat, &run), 0);
	run.dry_run = true;
	assert_int_equal(vu_catalog_run_end(cat, &run, &stat, 1), 0);
	assert_int_equal(vu_catalog_broken_count(cat, id, &n), 0);
	assert_int_equal(n, 3);
	run.dry_run = false;
	assert_int_equal(vu_catalog_run_end(cat, &run, &stat, 1), 0);
	assert_int_equal(vu_catalog_broken_count(cat, id, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(vu_catalog_guest_remove(cat, id), 0);
	assert_int_equal(vu_catalog_broken_count(cat, id, &n), 0);
	assert_int_equal(n, 0);
	vu_guests_done(&guests);
	vu_catalog_close(cat);
}

/* One of an older version is only brought up to date by who has it for himself. */
static void test_old(void **state)
{
	struct vu_guests guests;
	struct vu_catalog *cat = catalog_fresh(path, &guests, 1), *note = NULL;
	char cmd[512];
	uint64_t n;

	(void)state;
	vu_catalog_close(cat);
	if (system("command -v sqlite3 >/dev/null")) {
		print_message("# skip: needs sqlite3\n");
		skip();
	}
	snprintf(cmd, sizeof(cmd),
		 "sqlite3 '%s' 'DROP TABLE broken; DROP TABLE template_note;"
		 " DROP TABLE template_file; ALTER TABLE guest DROP COLUMN template;"
		 " PRAGMA user_version = 1'",
		 path);
	assert_int_equal(system(cmd), 0); /* NOLINT(cert-env33-c) */
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_NOTE, &note, NULL), VU_CATALOG_OLD);
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_READ, &note, NULL), VU_CATALOG_OLD);
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_WRITE, &cat, NULL), 0);
	assert_int_equal(vu_catalog_broken_count(cat, guests.v[0].id, &n), 0);
	vu_catalog_close(cat);
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_NOTE, &note, NULL), 0);
	vu_catalog_close(note);
	unlink(path);
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_NOTE, &note, NULL), VU_CATALOG_MISSING);
	assert_int_not_equal(access(path, F_OK), 0);
	vu_guests_done(&guests);
}

/* Who reads without locks is told of a writer that came behind him, though all that he sees is well formed. */
static void test_written_meanwhile(void **state)
{
	struct vu_guests guests, seen = {0};
	struct vu_catalog *reader = NULL, *cat = catalog_fresh(path, &guests, 3);

	(void)state;
	assert_int_equal(vu_catalog_close(cat), 0);
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_READ, &reader, NULL), 0);
	assert_int_equal(vu_catalog_guests(reader, &seen), 0);
	vu_guests_done(&seen);
	usleep(20000); /* a tick of the clock that files are stamped with */
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_WRITE, &cat, NULL), 0);
	assert_int_equal(vu_catalog_guest_remove(cat, guests.v[0].id), 0);
	assert_int_equal(vu_catalog_close(cat), 0);
	assert_int_equal(vu_catalog_guests(reader, &seen), -EBUSY);
	assert_string_equal(vu_catalog_message(reader), "it was written while it was read");
	assert_int_equal(seen.n, 0);
	vu_catalog_close(reader);
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_READ, &reader, NULL), 0);
	assert_int_equal(vu_catalog_guests(reader, &seen), 0);
	assert_int_equal(seen.n, 2);
	vu_guests_done(&seen);
	vu_guests_done(&guests);
	vu_catalog_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_old),
		cmocka_unit_test(test_written_meanwhile),
	};

	if (!scratch_dir(dir, "test-catalog-beside"))
		return 1;
	snprintf(path, sizeof(path), "%s/c.db", dir);
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	unlink(path);
	rmdir(dir);
	return r;
}
