/* SPDX-License-Identifier: GPL-2.0-or-later */
/* model/reset: which files of a guest a clone does not have as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "model/reset.h"

static void wrong_paths(void **state)
{
	static const char *const good[] = {"/a", "/etc/machine-id", "/etc/ssh/ssh_host_*_key",
					   "/a b/[ab]?", "/..a/b"};
	static const char *const bad[] = {"",	     "a",      "etc/x",	 "/",	   "/etc/",
					  "/etc//x", "/*/x",   "/e?c/x", "/[a]/x", "/a/../b",
					  "/../b",   "/a/./b", "*"};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(good); i++)
		if (vu_reset_wrong(good[i]))
			fail_msg("'%s': %s", good[i], vu_reset_wrong(good[i]));
	for (size_t i = 0; i < VU_ARRAY_SIZE(bad); i++)
		if (!vu_reset_wrong(bad[i]))
			fail_msg("'%s' is taken", bad[i]);
	for (const char *const *d = vu_reset_defaults; *d; d++)
		assert_null(vu_reset_wrong(strchr(*d, '/')));
}

static void found(void **state)
{
	char *const list[] = {
		(char[]){"truncate /etc/machine-id"},
		(char[]){"remove /etc/ssh/ssh_host_*_key"},
		(char[]){"remove /top"},
		(char[]){"remove /etc/m*"},
		(char[]){"truncate /etc/motd"},
		NULL,
	};

	(void)state;
	assert_int_equal(vu_reset_find(list, "etc", "machine-id"), VU_RESET_REMOVE);
	assert_int_equal(vu_reset_find(list, "etc", "motd"), VU_RESET_TRUNCATE);
	assert_int_equal(vu_reset_find(list, "etc", "passwd"), VU_RESET_NOT);
	assert_int_equal(vu_reset_find(list, "etc/ssh", "ssh_host_rsa_key"), VU_RESET_REMOVE);
	assert_int_equal(vu_reset_find(list, "etc/ssh", "ssh_host_rsa_key.pub"), VU_RESET_NOT);
	assert_int_equal(vu_reset_find(list, "etc/ssh", "machine-id"), VU_RESET_NOT);
	assert_int_equal(vu_reset_find(list, "", "top"), VU_RESET_REMOVE);
	assert_int_equal(vu_reset_find(list, "etc", "top"), VU_RESET_NOT);
	assert_int_equal(vu_reset_find(list, "et", "machine-id"), VU_RESET_NOT);
	assert_int_equal(vu_reset_find(list, "etcetera", "machine-id"), VU_RESET_NOT);
	assert_int_equal(vu_reset_find(NULL, "etc", "machine-id"), VU_RESET_NOT);
	assert_true(vu_reset_is_of(list, ""));
	assert_true(vu_reset_is_of(list, "etc"));
	assert_true(vu_reset_is_of(list, "etc/ssh"));
	assert_false(vu_reset_is_of(list, "etc/ss"));
	assert_false(vu_reset_is_of(list, "e"));
	assert_false(vu_reset_is_of(NULL, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_paths),
		cmocka_unit_test(found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
