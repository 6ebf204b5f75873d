/* SPDX-License-Identifier: GPL-2.0-or-later */
/* So many breaks and bytes a second, with one second saved up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cow/budget.h"

#define SECOND INT64_C(1000000000)
#define NOW (1000 * SECOND)

static void test_no_limit(void **state)
{
	struct vu_budget b = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(vu_budget_take(&b, UINT64_MAX, NOW), 0);
}

/* What is taken at a rate is never more than that and what was saved up. */
static void test_breaks(void **state)
{
	struct vu_budget b = {.breaks = 10};
	int64_t now = NOW;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(vu_budget_take(&b, 1 << 20, now), 0);
	assert_int_equal(vu_budget_take(&b, 0, now), SECOND / 10);
	assert_int_equal(vu_budget_take(&b, 0, now), SECOND / 5);
	/* both have waited */
	now += SECOND / 5;
	assert_int_equal(vu_budget_take(&b, 0, now), SECOND / 10);
	/* however long nothing is asked for, no more is saved up */
	now += 3600 * SECOND;
	for (int i = 0; i < 10; i++)
		assert_int_equal(vu_budget_take(&b, 0, now), 0);
	assert_int_equal(vu_budget_take(&b, 0, now), SECOND / 10);
}

static void test_bytes(void **state)
{
	struct vu_budget b = {.breaks = 1000, .bytes = 1 << 20};

	(void)state;
	assert_int_equal(vu_budget_take(&b, 1 << 20, NOW), 0);
	assert_int_equal(vu_budget_take(&b, 1 << 19, NOW), SECOND / 2);
	/* the dearer of both counts */
	assert_int_equal(vu_budget_take(&b, 0, NOW), SECOND / 2 + SECOND / 1000);
}

/* Large files wait long, and nothing overflows. */
static void test_huge(void **state)
{
	struct vu_budget b = {.bytes = 1};

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(vu_budget_take(&b, UINT64_MAX, NOW) > 0);
	assert_true(vu_budget_take(&b, 0, NOW) == 0);
}

/* Who does not wait so long, and asks again and again, has his turn as soon as if he had not. */
static void test_within(void **state)
{
	struct vu_budget b = {.breaks = 1};
	const int64_t most = 20 * SECOND;

	(void)state;
	for (int i = 0; i <= 20; i++)
		assert_int_equal(vu_budget_take_within(&b, 0, NOW, most), i * SECOND);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(vu_budget_take_within(&b, 0, NOW, most), -1);
	assert_int_equal(vu_budget_take_within(&b, 0, NOW + SECOND, most), most);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit), cmocka_unit_test(test_breaks),
		cmocka_unit_test(test_bytes),	 cmocka_unit_test(test_huge),
		cmocka_unit_test(test_within),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
