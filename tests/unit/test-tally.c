/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tally of a census: counts are exact as long as there is memory, and near when there is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mem/frame-set.h"
#include "mem/tally.h"

#define PAGE 4096

static const struct vu_tally_rules ideal = {0};

/* A page whose content is a number; 0 is one of zeros. */
static struct vu_tally_page page_of(uint64_t content, uint16_t owner, uint16_t program)
{
	uint64_t bytes[PAGE / sizeof(uint64_t)] = {0};
	struct vu_tally_page p = {.owner = owner, .program = program};

	bytes[PAGE / sizeof(uint64_t) - 1] = content;
	vu_tally_look(bytes, sizeof(bytes), &p);
	return p;
}

static void add(struct vu_tally *t, uint64_t content, uint16_t owner, uint16_t program, unsigned n)
{
	struct vu_tally_page p = page_of(content, owner, program);

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(vu_tally_add(t, &p, 1), 0);
}

static struct vu_tally *make(uint64_t bytes)
{
	struct vu_tally *t = NULL;

	assert_int_equal(vu_tally_new(bytes, 3, 2, &t), 0);
	return t;
}

static struct vu_tally_sum end(struct vu_tally *t, const struct vu_tally_rules *rules)
{
	struct vu_tally_sum s;

	vu_tally_end(t, rules, &s);
	vu_tally_free(t);
	return s;
}

static void look(void **state)
{
	uint64_t zero[PAGE / sizeof(uint64_t)] = {0}, other[PAGE / sizeof(uint64_t)] = {0};
	struct vu_tally_page a, b;

	(void)state;
	vu_tally_look(zero, PAGE, &a);
	assert_true(a.zero);
	for (size_t i = 0; i < PAGE / sizeof(uint64_t); i += 511) {
		memset(other, 0, sizeof(other));
		((char *)(other + i))[7] = 1;
		vu_tally_look(other, PAGE, &a);
		assert_false(a.zero);
		vu_tally_look(other, PAGE, &b);
		assert_memory_equal(a.hash, b.hash, sizeof(a.hash));
	}
}

static void exact(void **state)
{
	struct vu_tally *t = make(0);

	(void)state;
	add(t, 0, 0, 0, 5); /* zeros of one owner */
	add(t, 0, 1, 1, 2); /* and of another */
	add(t, 7, 0, 0, 3); /* inside of an owner */
	add(t, 8, 0, 0, 1); /* across owners */
	add(t, 8, 1, 0, 2);
	add(t, 8, 2, 1, 1);
	for (uint64_t i = 100; i < 110; i++) /* unique */
		add(t, i, 2, 1, 1);
	struct vu_tally_sum s = end(t, &ideal);

	assert_int_equal(s.pages, 24);
	assert_int_equal(s.zero, 7);
	assert_int_equal(s.distinct, 13);
	assert_int_equal(s.identical, 7 + 3 + 4);
	assert_int_equal(s.freed, 6 + 2 + 3);
	assert_int_equal(s.freed_zero, 6);
	assert_int_equal(s.freed_inside, (4 + 1) + 2 + 1);
	assert_int_equal(s.level, 0);
	assert_int_equal(s.owner[0].pages, 9);
	assert_int_equal(s.owner[0].identical, 9);
	assert_int_equal(s.owner[0].inside, 4 + 2);
	assert_int_equal(s.owner[1].inside, 1 + 1);
	assert_int_equal(s.owner[2].pages, 11);
	assert_int_equal(s.owner[2].identical, 1);
	assert_int_equal(s.owner[2].inside, 0);
	assert_int_equal(s.program[0].pages, 11);
	assert_int_equal(s.program[1].zero, 2);
	assert_float_equal(s.owner[0].freed + s.owner[1].freed + s.owner[2].freed, 11, 1e-9);
	assert_float_equal(s.program[0].freed + s.program[1].freed, 11, 1e-9);
	assert_float_equal(s.owner[2].freed, 0.75, 1e-9);
	vu_tally_sum_done(&s);
}

/* KSM keeps a page for every max_sharing that are merged; what is merged already is not to be freed once more. */
static void as_ksm(void **state)
{
	const struct vu_tally_rules rules = {.max_sharing = 4}, zero_free = {4, true};
	struct vu_tally_page place = page_of(9, 0, 0);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct vu_tally *t = make(0);

		add(t, 0, 0, 0, 9);
		add(t, 5, 1, 0, 8);
		place.merged = true; /* two places that are full, and three pages beside them */
		assert_int_equal(vu_tally_add(t, &place, 1), 0);
		assert_int_equal(vu_tally_add(t, &place, 1), 0);
		add(t, 9, 1, 0, 3);
		struct vu_tally_sum s = end(t, i ? &zero_free : &rules);

		assert_int_equal(s.merged, 2);
		assert_int_equal(s.freed_zero, i ? 9 : 6);
		assert_int_equal(s.freed - s.freed_zero, 6 + 3);
		vu_tally_sum_done(&s);
	}
}

/* As swap: its pages of zeros are counted, and not gained. */
static void zeros_kept_free(void **state)
{
	const struct vu_tally_rules rules = {.zero_kept_free = true};
	struct vu_tally *t = make(0);

	(void)state;
	add(t, 0, 0, 0, 9);
	add(t, 5, 1, 0, 8);
	struct vu_tally_sum s = end(t, &rules);

	assert_int_equal(s.zero, 9);
	assert_int_equal(s.freed_zero, 0);
	assert_int_equal(s.freed, 7);
	assert_int_equal(s.freed_inside, 7);
	assert_float_equal(s.owner[0].freed, 0, 1e-9);
	vu_tally_sum_done(&s);
}

static void nothing(void **state)
{
	struct vu_tally_sum s = end(make(0), &ideal);

	(void)state;
	assert_int_equal(s.pages + s.freed + s.distinct + s.identical, 0);
	vu_tally_sum_done(&s);
	struct vu_tally *t = NULL;

	assert_int_equal(vu_tally_new(0, VU_TALLY_OWNERS_MAX + 1, 1, &t), -22);
	assert_int_equal(vu_tally_new(0, 1, VU_TALLY_PROGRAMS_MAX + 1, &t), -22);
}

static void assert_near(uint64_t got, uint64_t wanted, unsigned percent)
{
	if (got * 100 < wanted * (100 - percent) || got * 100 > wanted * (100 + percent))
		fail_msg("got %llu, wanted %llu", (unsigned long long)got,
			 (unsigned long long)wanted);
}

/* Ten times more contents than memory; some are very many, and must not be gambled with. */
static void short_of_memory(void **state)
{
	struct vu_tally *t = make(VU_TALLY_BYTES_MIN);

	(void)state;
	add(t, 0, 0, 0, 30000);
	for (uint64_t round = 0; round < 2; round++)
		for (uint64_t i = 0; i < 400000; i++) { /* pairs across owners */
			add(t, 1000000 + i, (uint16_t)round, 0, 1);
			if (i % 40 == 0) /* one content, often, all the way */
				add(t, 77, 1, 1, 1);
		}
	for (uint64_t i = 0; i < 200000; i++)
		add(t, 5000000 + i, 2, 0, 1);
	struct vu_tally_sum s = end(t, &ideal);

	assert_true(s.level > 2);
	assert_int_equal(s.pages, 30000 + 800000 + 20000 + 200000); /* exact */
	assert_int_equal(s.owner[2].pages, 200000);
	assert_int_equal(s.freed_zero, 29999);
	assert_near(s.freed, 29999 + 19999 + 400000, 3);
	assert_near(s.freed_inside, 29999 + 19999, 0);
	assert_near(s.identical, 30000 + 20000 + 800000, 3);
	assert_near(s.distinct, 1 + 1 + 400000 + 200000, 3);
	assert_int_equal(s.program[1].identical, 20000);
	vu_tally_sum_done(&s);
}

static void late(void **state)
{
	struct vu_tally *t = make(0);
	struct vu_tally_page p = page_of(1, 0, 0);
	struct vu_tally_sum s;

	(void)state;
	vu_tally_end(t, &ideal, &s);
	assert_int_equal(vu_tally_add(t, &p, 1), 0); /* by a thread that was given up */
	vu_tally_free(t);
	vu_tally_sum_done(&s);
}

static void frames(void **state)
{
	struct vu_frame_set set = {0};
	static const uint64_t pfn[] = {0, 1, 63, 64, (1 << 18) - 1, 1 << 18, UINT64_C(1) << 39};

	(void)state;
	vu_frame_set_done(&set);
	assert_int_equal(vu_frame_set_init(&set), 0);
	for (int again = 0; again < 2; again++)
		for (size_t i = 0; i < sizeof(pfn) / sizeof(pfn[0]); i++)
			assert_int_equal(vu_frame_set_add(&set, pfn[i]), !again);
	assert_int_equal(vu_frame_set_add(&set, UINT64_C(1) << 40), -34);
	vu_frame_set_done(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(look),	   cmocka_unit_test(exact),
		cmocka_unit_test(as_ksm),  cmocka_unit_test(zeros_kept_free),
		cmocka_unit_test(nothing), cmocka_unit_test(short_of_memory),
		cmocka_unit_test(late),	   cmocka_unit_test(frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
