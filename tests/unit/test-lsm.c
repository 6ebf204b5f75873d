/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this kernel can have the guard is found out by trying, and said in words. What the guard does
 * is tried in tests/real/lsm, on a kernel that can; here, what it reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/guard.h"
#include "lsm/lsm.h"
#include "lsm/symbols.h"
#include "ops/guard-farm.h"

static void what_this_kernel_can(void **state)
{
	bool before = vu_guard_is_there();
	char *why = NULL;
	int r = vu_lsm_probe(&why);

	(void)state;
	if (r) {
		assert_int_equal(r, VU_LSM_UNABLE);
		assert_non_null(why);
		assert_true(strlen(why) > 10);
		print_message("# %s\n", why);
	}
	/* nothing stays of it */
	assert_true(vu_guard_is_there() == before);
	free(why);
}

static int read_symbols(const char *text, struct vu_ask_range *ret)
{
	FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

	assert_non_null(f);
	int r = vu_symbols_read(f, ret);

	fclose(f);
	return r;
}

static void functions_are_found(void **state)
{
	struct vu_ask_range v[VU_ASK_FUNCTIONS];

	(void)state;
	assert_int_equal(read_symbols("ffff0400 t path_openat.isra.0\nffff0100 t do_dentry_open\n"
				      "ffff0200 T vfs_open\nffff0280 T vfs_open_tree\n"
				      "ffff0500 T do_filp_open\nffff0900 t path_openat.cold\n"
				      "ffff0150 t other\nffff0300 t vfs_open\t[module]\n",
				      v),
			 0);
	assert_int_equal(v[VU_ASK_DO_DENTRY_OPEN].begin, 0xffff0100);
	assert_int_equal(v[VU_ASK_DO_DENTRY_OPEN].end, 0xffff0150);
	assert_int_equal(v[VU_ASK_VFS_OPEN].end, 0xffff0280);
	assert_int_equal(v[VU_ASK_PATH_OPENAT].begin, 0xffff0400);
	assert_int_equal(v[VU_ASK_PATH_OPENAT].end, 0xffff0500);
	assert_int_equal(v[VU_ASK_DO_OPEN].begin, 0);
	assert_int_equal(v[VU_ASK_DO_OPEN].end, 0);
}

/* Then nobody is let on to wait. */
static void functions_are_not_guessed(void **state)
{
	struct vu_ask_range v[VU_ASK_FUNCTIONS];

	(void)state;
	/* hidden */
	assert_int_equal(
		read_symbols("0 t path_openat\n0 t do_dentry_open\n0 T vfs_open\n0 t x\n", v),
		-ENOENT);
	/* one is missing; two of one name; the last one has no end */
	assert_int_equal(read_symbols("1 t path_openat\n2 t do_dentry_open\n3 t x\n", v), -ENOENT);
	assert_int_equal(read_symbols("1 t path_openat\n2 t do_dentry_open\n3 T vfs_open\n"
				      "4 t vfs_open\n5 t x\n",
				      v),
			 -ENOENT);
	assert_int_equal(read_symbols("1 t path_openat\n2 t do_dentry_open\n3 T vfs_open\n", v),
			 -ENOENT);
}

static void names_become_a_path(void **state)
{
	static struct vu_ask ask;
	static const char names[] = "file\0dir\0guests";

	(void)state;
	memcpy(ask.path, names, sizeof(names));
	ask.length = sizeof(names);
	char *path = vu_guard_farm_path(&ask);

	assert_string_equal(path, "guests/dir/file");
	free(path);
	ask.length = 0;
	assert_null(vu_guard_farm_path(&ask));
	ask.length = VU_ASK_PATH + 1;
	assert_null(vu_guard_farm_path(&ask));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_this_kernel_can),
		cmocka_unit_test(functions_are_found),
		cmocka_unit_test(functions_are_not_guessed),
		cmocka_unit_test(names_become_a_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
