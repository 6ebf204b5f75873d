/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this kernel can have the guard is found out by trying, and said in words. What the guard does
 * is tried in tests/real/lsm, on a kernel that can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fs/guard.h"
#include "lsm/lsm.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_this_kernel_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
