/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The face is no library: what is tested of it is compiled here. */
#include "cmd/escape.c"

static void is(const char *in, bool utf8, const char *want)
{
	char *got = vu_escape(in, utf8);

	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
}

static void test_escape(void **state)
{
	(void)state;
	is("plain name", true, "plain name");
	is("a\nb\tc\x1b[0m\x7f", true, "a\\nb\\tc\\x1b[0m\\x7f");
	is("\xff\\", true, "\\xff\\\\");
	is("\xc3\xa4", true, "\xc3\xa4");
	is("\xc3\xa4", false, "\\xc3\\xa4");
	is("\xe2\x80\xae", true, "\\xe2\\x80\\xae"); /* right-to-left override */
	is("\xc2\x9b", true, "\\xc2\\x9b");	     /* C1: CSI */
	is("\xc3", true, "\\xc3");
}

static void test_utf8(void **state)
{
	(void)state;
	assert_true(vu_utf8_valid(""));
	assert_true(vu_utf8_valid("\xf4\x8f\xbf\xbf"));
	assert_false(vu_utf8_valid("\xf4\x90\x80\x80"));
	assert_false(vu_utf8_valid("\xc0\xaf"));
	assert_false(vu_utf8_valid("\xe0\x80\x80"));
	assert_false(vu_utf8_valid("\xed\xa0\x80"));
	assert_false(vu_utf8_valid("\xe2\x82"));
}

static void test_base64(void **state)
{
	static const char *const pairs[][2] = {
		{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"\xff\xfe\xfd", "//79"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char *got = vu_base64(pairs[i][0], strlen(pairs[i][0]));

		assert_string_equal(got, pairs[i][1]);
		free(got);
	}
}

static void test_size(void **state)
{
	char buf[VU_SIZE_TEXT];

	(void)state;
	assert_string_equal(vu_size_text(0, buf), "0 B");
	assert_string_equal(vu_size_text(1023, buf), "1023 B");
	assert_string_equal(vu_size_text(1024, buf), "1.0 KiB");
	assert_string_equal(vu_size_text(1717986918, buf), "1.6 GiB");
	assert_string_equal(vu_size_text((1 << 20) - 1, buf), "1.0 MiB");
	assert_string_equal(vu_size_text(UINT64_MAX, buf), "16.0 EiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
