/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/acl.h"
#include "archive/libarchive.h"

/* u::rw-, u:1234:r--, g::r--, g:77:rwx, m::r-x, o::---, as the kernel has it. */
static const uint8_t named[] = {
	2,    0,    0,	  0,	1,    0,    6,	0, 0xff, 0xff, 0xff, 0xff, 2,
	0,    4,    0,	  0xd2, 0x04, 0,    0,	4, 0,	 4,    0,    0xff, 0xff,
	0xff, 0xff, 8,	  0,	7,    0,    77, 0, 0,	 0,    0x10, 0,	   5,
	0,    0xff, 0xff, 0xff, 0xff, 0x20, 0,	0, 0,	 0xff, 0xff, 0xff, 0xff,
};

/* There and back it is the same, both kinds. */
static void back_and_forth(void **state)
{
	(void)state;
	for (int is_default = 0; is_default < 2; is_default++) {
		struct archive_entry *e = archive_entry_new();
		void *value = NULL;
		size_t len = 0;

		archive_entry_set_mode(e, S_IFDIR | 0640);
		assert_int_equal(vu_acl_to_entry(e, is_default, named, sizeof(named)), 0);
		assert_int_equal(vu_acl_from_entry(e, is_default, &value, &len), 0);
		assert_int_equal(len, sizeof(named));
		assert_memory_equal(value, named, len);
		free(value);
		assert_int_equal(vu_acl_from_entry(e, !is_default, &value, &len), 0);
		assert_null(value);
		archive_entry_free(e);
	}
}

/* The kernel takes the mask for the bits of the group; without a mask, the group's own. */
static void mode(void **state)
{
	uint8_t maskless[28] = {2, 0, 0, 0, 1, 0, 7, 0, 0,    0, 0, 0,
				4, 0, 1, 0, 0, 0, 0, 0, 0x20, 0, 2};

	(void)state;
	assert_int_equal(vu_acl_mode(S_IFREG | 04777, named, sizeof(named)), S_IFREG | 04650);
	assert_int_equal(vu_acl_mode(S_IFREG, maskless, sizeof(maskless)), S_IFREG | 0712);
	assert_int_equal(vu_acl_mode(0640, named, 3), 0640);
	assert_int_equal(vu_acl_mode(0640, "", 0), 0640);
}

static void malformed(void **state)
{
	struct archive_entry *e = archive_entry_new();
	uint8_t bad[sizeof(named)];

	(void)state;
	for (size_t n = 0; n < sizeof(named); n++)
		if (n % 8 != 4)
			assert_int_equal(vu_acl_to_entry(e, false, named, n), -EINVAL);
	memcpy(bad, named, sizeof(bad));
	bad[0] = 1; /* another version */
	assert_int_equal(vu_acl_to_entry(e, false, bad, sizeof(bad)), -EINVAL);
	bad[0] = 2;
	bad[4] = 3; /* no tag */
	assert_int_equal(vu_acl_to_entry(e, false, bad, sizeof(bad)), -EINVAL);
	bad[4] = 1;
	bad[6] = 8; /* no permission */
	assert_int_equal(vu_acl_to_entry(e, false, bad, sizeof(bad)), -EINVAL);
	archive_entry_free(e);
}

static void too_many(void **state)
{
	struct archive_entry *e = archive_entry_new();
	void *value;
	size_t len;

	(void)state;
	for (int i = 0; i <= VU_ACL_ENTRIES_MAX; i++)
		assert_int_equal(archive_entry_acl_add_entry(e, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, 4,
							     ARCHIVE_ENTRY_ACL_USER, i, NULL),
				 0);
	assert_int_equal(vu_acl_from_entry(e, false, &value, &len), -E2BIG);
	archive_entry_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(back_and_forth),
		cmocka_unit_test(mode),
		cmocka_unit_test(malformed),
		cmocka_unit_test(too_many),
	};

	if (vu_libarchive_load())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
