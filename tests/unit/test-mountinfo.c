/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fs/mountinfo.h"

static char line[512];

static bool parse(const char *text, struct vu_mountinfo *m)
{
	snprintf(line, sizeof(line), "%s", text);
	return vu_mountinfo_parse(line, m);
}

static void what_a_line_says(void **state)
{
	struct vu_mountinfo m;

	(void)state;
	assert_true(parse("36 35 98:7 /a\\040b /mnt\\134\\012 ro,noatime shared:1 master:2 - "
			  "ext4 /dev/x - ro,y\n",
			  &m));
	assert_int_equal(m.id, 36);
	assert_int_equal(m.dev, makedev(98, 7));
	assert_string_equal(m.root, "/a b");
	assert_string_equal(m.point, "/mnt\\\n");
	assert_string_equal(m.type, "ext4");
	assert_true(vu_mountinfo_has_option(&m, "ro"));
	assert_true(vu_mountinfo_has_option(&m, "noatime"));
	assert_false(vu_mountinfo_has_option(&m, "atime"));
	assert_false(vu_mountinfo_has_option(&m, "noatim"));
}

static void what_is_no_escape(void **state)
{
	static const char *const pairs[][2] = {
		{"/a\\040b\\011c", "/a b\tc"},
		{"/\\377\\101", "/\377A"},
		{"/a\\", "/a\\"},
		{"/a\\04", "/a\\04"},
		{"/a\\089", "/a\\089"},
		{"/\\\\040", "/\\ "},
		{"/\\+40\\0x4\\\377", "/\\+40\\0x4\\\377"},
	};
	struct vu_mountinfo m;
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		snprintf(text, sizeof(text), "1 1 0:5 / %s rw - ext4 x y", pairs[i][0]);
		assert_true(parse(text, &m));
		assert_string_equal(m.point, pairs[i][1]);
	}
}

static void words_of_the_file_system_are_not_the_mounts(void **state)
{
	struct vu_mountinfo m;

	(void)state;
	assert_true(parse("1 1 0:5 / / rw - tmpfs none ro,idmapped\n", &m));
	assert_false(vu_mountinfo_has_option(&m, "ro"));
	assert_false(vu_mountinfo_has_option(&m, "idmapped"));
	assert_true(vu_mountinfo_has_option(&m, "rw"));
}

static void what_is_no_line(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		" - ",
		"1 1 0:5 / / rw",
		"1 1 0:5 / - ext4 x y",
		"x 1 0:5 / / rw - ext4 x y",
		"1 1 5 / / rw - ext4 x y",
		"1 1 0:5 / / rw - ",
		"1 1 0:5 / / rw - \n",
	};
	struct vu_mountinfo m;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], &m))
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_line_says),
		cmocka_unit_test(what_is_no_escape),
		cmocka_unit_test(words_of_the_file_system_are_not_the_mounts),
		cmocka_unit_test(what_is_no_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
