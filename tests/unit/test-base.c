/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/chunks.h"
#include "base/crew.h"
#include "base/hash.h"
#include "base/hex.h"
#include "base/inomap.h"

static void chunks_keep_their_place(void **state)
{
	struct vu_chunks c;
	uint32_t i;
	uint64_t *first;

	(void)state;
	assert_int_equal(vu_chunks_init(&c, sizeof(uint64_t)), 0);
	assert_int_equal(vu_chunks_add(&c, 1, &i), 0);
	first = vu_chunks_at(&c, i);
	*first = 42;
	for (uint32_t k = 1; k < 100000; k++) {
		assert_int_equal(vu_chunks_add(&c, 1, &i), 0);
		assert_int_equal(i, k);
		assert_int_equal(*(uint64_t *)vu_chunks_at(&c, i), 0);
		*(uint64_t *)vu_chunks_at(&c, i) = k;
	}
	assert_ptr_equal(first, vu_chunks_at(&c, 0));
	assert_int_equal(*first, 42);
	for (uint32_t k = 1; k < 100000; k++)
		assert_int_equal(*(uint64_t *)vu_chunks_at(&c, k), k);
	vu_chunks_done(&c);
}

static void chunks_refuse_too_many(void **state)
{
	struct vu_chunks c;
	uint32_t i;

	(void)state;
	assert_int_equal(vu_chunks_init(&c, 1), 0);
	assert_int_equal(vu_chunks_add(&c, UINT32_MAX, &i), -EOVERFLOW);
	assert_int_equal(vu_chunks_add(&c, 1, &i), 0);
	assert_int_equal(vu_chunks_add(&c, (UINT32_C(1) << 30) - 1, &i), -EOVERFLOW);
	vu_chunks_done(&c);
}

static void arena_gives_back_what_it_got(void **state)
{
	struct vu_arena a;
	char s[600];
	uint32_t h[3000];

	(void)state;
	assert_int_equal(vu_arena_init(&a), 0);
	for (unsigned i = 0; i < 3000; i++) {
		memset(s, 'a' + (int)(i % 26), sizeof(s));
		assert_int_equal(vu_arena_add(&a, s, i % sizeof(s), &h[i]), 0);
	}
	for (unsigned i = 0; i < 3000; i++) {
		const char *t = vu_arena_at(&a, h[i]);

		assert_int_equal(strlen(t), i % sizeof(s));
		if (*t)
			assert_int_equal(t[strlen(t) - 1], 'a' + (int)(i % 26));
	}
	assert_int_equal(vu_arena_add(&a, s, 70000, &h[0]), -EOVERFLOW);
	vu_arena_done(&a);
}

static void inomap_finds_what_was_set(void **state)
{
	struct vu_inomap m = {0};
	uint32_t v;

	(void)state;
	assert_false(vu_inomap_get(&m, 7, &v));
	for (uint32_t i = 1; i < 20000; i++)
		assert_int_equal(vu_inomap_set(&m, (uint64_t)i << 20, i), 0);
	assert_int_equal(vu_inomap_set(&m, UINT64_C(5) << 20, 99), 0);
	assert_int_equal(m.n, 19999);
	for (uint32_t i = 1; i < 20000; i++) {
		assert_true(vu_inomap_get(&m, (uint64_t)i << 20, &v));
		assert_int_equal(v, i == 5 ? 99 : i);
		assert_false(vu_inomap_get(&m, ((uint64_t)i << 20) + 1, NULL));
	}
	vu_inomap_done(&m);
}

static void hex_goes_round(void **state)
{
	uint8_t in[4] = {0x00, 0x1f, 0xa0, 0xff}, out[4];
	char s[9];

	(void)state;
	vu_hex_encode(in, 4, s);
	assert_string_equal(s, "001fa0ff");
	assert_int_equal(vu_hex_decode(s, 4, out), 0);
	assert_memory_equal(in, out, 4);
	assert_int_equal(vu_hex_decode("001fa0f", 4, out), -EINVAL);
	assert_int_equal(vu_hex_decode("001FA0FF", 4, out), -EINVAL);
}

/* FIPS 180-4, the example of one block and the empty message. */
static void hash_is_sha256(void **state)
{
	struct vu_hash *h = vu_hash_new();
	uint8_t d[VU_HASH_BYTES];
	char s[2 * VU_HASH_BYTES + 1];

	(void)state;
	assert_non_null(h);
	vu_hash_begin(h);
	vu_hash_add(h, "ab", 2);
	vu_hash_add(h, "c", 1);
	assert_int_equal(vu_hash_end(h, d), 0);
	vu_hex_encode(d, sizeof(d), s);
	assert_string_equal(s, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	vu_hash_begin(h);
	assert_int_equal(vu_hash_end(h, d), 0);
	vu_hex_encode(d, sizeof(d), s);
	assert_string_equal(s, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	vu_hash_free(h);
}

static int add_one(void *arg, unsigned i)
{
	atomic_fetch_add((atomic_uint *)arg, 1U << i);
	return i == 3 ? -EIO : 0;
}

static void crew_runs_each_once(void **state)
{
	atomic_uint seen = 0;

	(void)state;
	assert_int_equal(vu_crew_run(3, add_one, &seen), 0);
	assert_int_equal(seen, 7);
	seen = 0;
	assert_int_equal(vu_crew_run(8, add_one, &seen), -EIO);
	assert_int_equal(seen, 255);
}

static int wait_and_add(void *arg, unsigned i)
{
	atomic_uint *seen = arg;

	while (!(atomic_load(seen) & 1U << 8))
		sched_yield();
	return add_one(arg, i);
}

static void crew_does_not_keep_who_starts_it(void **state)
{
	atomic_uint seen = 0;
	struct vu_crew *c = vu_crew_start(1, wait_and_add, &seen);

	(void)state;
	assert_non_null(c);
	assert_int_equal(seen, 0);
	atomic_fetch_add(&seen, 1U << 8);
	assert_int_equal(vu_crew_wait(c), 0);
	assert_int_equal(seen, (1U << 8) + 1);
	c = vu_crew_start(4, wait_and_add, &seen);
	assert_int_equal(vu_crew_wait(c), -EIO);
	assert_int_equal(seen, (1U << 8) + 1 + 15);
	assert_int_equal(vu_crew_wait(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_keep_their_place),
		cmocka_unit_test(chunks_refuse_too_many),
		cmocka_unit_test(arena_gives_back_what_it_got),
		cmocka_unit_test(inomap_finds_what_was_set),
		cmocka_unit_test(hex_goes_round),
		cmocka_unit_test(hash_is_sha256),
		cmocka_unit_test(crew_runs_each_once),
		cmocka_unit_test(crew_does_not_keep_who_starts_it),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
