/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which file of a guest may follow a template, and which past a template's file has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "match/follow.h"

static const struct vu_digest v1 = {.b = {1}}, v2 = {.b = {2}};

static struct vu_template_version version(uint8_t content, const struct vu_digest *packages,
					  uint32_t mode)
{
	return (struct vu_template_version){
		.content = {.b = {content}},
		.packages = *packages,
		.attr = {.mode = mode, .full = true},
		.size = 100,
	};
}

static int note(struct vu_template_file *f, uint8_t content, const struct vu_digest *packages)
{
	struct vu_template_version v = version(content, packages, 0100755);

	return vu_follow_note(f, &v);
}

/* What becomes of a guest's file with this content and mode, of these packages. */
static enum vu_follow ask(const struct vu_template_file *f, uint8_t content,
			  const struct vu_digest *packages, uint32_t mode)
{
	struct vu_digest d = {.b = {content}};
	struct vu_attr attr = {.mode = mode, .full = true};

	return vu_follow_decide(
		f, &v1,
		&(struct vu_follow_side){.content = &d, .packages = packages, .attr = &attr});
}

static void what_the_template_had_follows(void **state)
{
	struct vu_template_file f = {0};

	(void)state;
	assert_int_equal(note(&f, 'A', &v1), 1);
	assert_false(vu_follow_has_changed(&f));
	assert_int_equal(note(&f, 'A', &v1), 0);
	assert_int_equal(note(&f, 'B', &v1), 1);
	assert_true(vu_follow_has_changed(&f));
	assert_int_equal(ask(&f, 'A', &v1, 0100755), VU_FOLLOW_YES);
	assert_int_equal(ask(&f, 'B', &v1, 0100755), VU_FOLLOW_SAME);
	assert_int_equal(ask(&f, 'C', &v1, 0100755), VU_FOLLOW_DIFFERS);
	assert_int_equal(ask(&f, 'A', &v2, 0100755), VU_FOLLOW_VERSION);
	assert_int_equal(ask(&f, 'A', NULL, 0100755), VU_FOLLOW_VERSION);
	assert_int_equal(ask(&f, 'A', &v1, 0100700), VU_FOLLOW_ATTRIBUTES);
	free(f.v);
}

/* A to B to C, and back to A. */
static void each_step_leads_to_the_last(void **state)
{
	struct vu_template_file f = {0};

	(void)state;
	note(&f, 'A', &v1);
	note(&f, 'B', &v1);
	note(&f, 'C', &v1);
	assert_int_equal(ask(&f, 'A', &v1, 0100755), VU_FOLLOW_YES);
	assert_int_equal(ask(&f, 'B', &v1, 0100755), VU_FOLLOW_YES);
	assert_int_equal(note(&f, 'A', &v1), 1);
	assert_int_equal(f.n, 3);
	assert_int_equal(ask(&f, 'A', &v1, 0100755), VU_FOLLOW_SAME);
	assert_int_equal(ask(&f, 'B', &v1, 0100755), VU_FOLLOW_YES);
	assert_int_equal(ask(&f, 'C', &v1, 0100755), VU_FOLLOW_YES);
	free(f.v);
}

static void an_upgrade_ends_the_past(void **state)
{
	struct vu_template_file f = {0};

	(void)state;
	note(&f, 'A', &v2);
	note(&f, 'B', &v2);
	assert_int_equal(note(&f, 'C', &v1), 1);
	assert_int_equal(f.n, 1);
	assert_int_equal(ask(&f, 'A', &v1, 0100755), VU_FOLLOW_DIFFERS);
	assert_int_equal(ask(&f, 'B', &v1, 0100755), VU_FOLLOW_DIFFERS);
	/* the same content, of another version: what leads to it belongs to the other */
	note(&f, 'D', &v1);
	assert_int_equal(note(&f, 'D', &v2), 1);
	assert_int_equal(f.n, 1);
	free(f.v);
}

static void the_past_is_bounded(void **state)
{
	struct vu_template_file f = {0};

	(void)state;
	for (uint8_t c = 1; c < 30; c++)
		note(&f, c, &v1);
	assert_int_equal(f.n, VU_TEMPLATE_VERSIONS);
	assert_int_equal(ask(&f, 29, &v1, 0100755), VU_FOLLOW_SAME);
	assert_int_equal(ask(&f, 29 - VU_TEMPLATE_PAST, &v1, 0100755), VU_FOLLOW_YES);
	assert_int_equal(ask(&f, 28 - VU_TEMPLATE_PAST, &v1, 0100755), VU_FOLLOW_DIFFERS);
	free(f.v);
}

/* A mode alone is noted, but leads nobody anywhere. */
static void attributes_alone_are_no_change(void **state)
{
	struct vu_template_file f = {0};
	struct vu_template_version v = version('A', &v1, 0100700);

	(void)state;
	note(&f, 'A', &v1);
	assert_int_equal(vu_follow_note(&f, &v), 1);
	assert_false(vu_follow_has_changed(&f));
	assert_int_equal(ask(&f, 'A', &v1, 0100755), VU_FOLLOW_SAME);
	note(&f, 'B', &v1);
	assert_int_equal(ask(&f, 'A', &v1, 0100755), VU_FOLLOW_YES);
	assert_int_equal(ask(&f, 'A', &v1, 0100700), VU_FOLLOW_YES);
	assert_int_equal(ask(&f, 'A', &v1, 0100711), VU_FOLLOW_ATTRIBUTES);
	free(f.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_template_had_follows),
		cmocka_unit_test(each_step_leads_to_the_last),
		cmocka_unit_test(an_upgrade_ends_the_past),
		cmocka_unit_test(the_past_is_bounded),
		cmocka_unit_test(attributes_alone_are_no_change),
	};

	return cmocka_run_group_tests_name("follow", tests, NULL, NULL);
}
