/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/key.h"
#include "model/portion.h"
#include "model/skip.h"
#include "model/tree.h"

static struct vu_key key_of(const char *domain, uint8_t content, uint64_t size,
			    const struct vu_attr *attr, bool with_mtime, uint64_t mtime_ns)
{
	struct vu_digest d = {.b = {content}};
	struct vu_hash *h = vu_hash_new();
	struct vu_key k;

	assert_int_equal(vu_key_make(h, domain, &d, size, attr, with_mtime, mtime_ns, &k), 0);
	vu_hash_free(h);
	return k;
}

static void assert_differ(struct vu_key a, struct vu_key b)
{
	assert_memory_not_equal(&a.hash, &b.hash, sizeof(a.hash));
}

static void every_part_is_in_the_key(void **state)
{
	struct vu_attr a = {.mode = 0100644, .full = true}, b;
	struct vu_key k = key_of("", 1, 10, &a, true, 5);

	(void)state;
	assert_memory_equal(&k, &(struct vu_key[]){key_of("", 1, 10, &a, true, 5)}, sizeof(k));
	assert_differ(k, key_of("x", 1, 10, &a, true, 5));
	assert_differ(k, key_of("", 2, 10, &a, true, 5));
	assert_differ(k, key_of("", 1, 11, &a, true, 5));
	assert_differ(k, key_of("", 1, 10, &a, true, 6));
	assert_differ(k, key_of("", 1, 10, &a, false, 5));
	b = a, b.mode = 0100600;
	assert_differ(k, key_of("", 1, 10, &b, true, 5));
	b = a, b.uid = 1;
	assert_differ(k, key_of("", 1, 10, &b, true, 5));
	b = a, b.gid = 1;
	assert_differ(k, key_of("", 1, 10, &b, true, 5));
	b = a, b.flags = 1;
	assert_differ(k, key_of("", 1, 10, &b, true, 5));
	b = a, b.xattrs.b[31] = 1;
	assert_differ(k, key_of("", 1, 10, &b, true, 5));
}

static void mtime_is_left_out_when_ignored(void **state)
{
	struct vu_attr a = {.mode = 0100644, .full = true};
	struct vu_key k = key_of("", 1, 10, &a, false, 5), m = key_of("", 1, 10, &a, false, 6);

	(void)state;
	assert_memory_equal(&k, &m, sizeof(k));
}

static void names_of_objects_go_round(void **state)
{
	static const char *const bad[] = {"", "x", "-0", "../../etc/passwd"};
	struct vu_attr a = {.full = true};
	struct vu_key k = key_of("", 1, 10, &a, false, 5), again;
	char name[VU_KEY_NAME_MAX], other[VU_KEY_NAME_MAX + 8];

	(void)state;
	k.generation = 17;
	vu_key_name(&k, name);
	assert_int_equal(strlen(name), VU_DIGEST_HEX + 3);
	assert_int_equal(vu_key_parse(name, &again), 0);
	assert_memory_equal(&k, &again, sizeof(k));
	for (uint32_t n = 0; n < 1000000000; n = n * 10 + 9) {
		k.generation = n;
		vu_key_name(&k, name);
		assert_int_equal(vu_key_parse(name, &again), 0);
		assert_memory_equal(&k, &again, sizeof(k));
		if (n == 999999999)
			break;
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vu_key_parse(bad[i], &again), -EINVAL);
	/* one way of writing each name only */
	name[VU_DIGEST_HEX] = 0;
	for (const char *const *tail = (const char *const[]){"-017", "-00", "-", "- 1", "-+1",
							     "-1x", "_1", "-1234567890", "", NULL};
	     *tail; tail++) {
		stpcpy(stpcpy(other, name), *tail);
		assert_int_equal(vu_key_parse(other, &again), -EINVAL);
	}
}

static void paths_of_the_tree(void **state)
{
	struct vu_tree *t = vu_tree_new();
	uint32_t root, usr, lib, inode, name;
	char *s;

	(void)state;
	assert_int_equal(vu_tree_dir_add(t, VU_NONE, 0, "", &root), 0);
	assert_int_equal(vu_tree_dir_add(t, root, 0, "usr", &usr), 0);
	assert_int_equal(vu_tree_dir_add(t, usr, 0, "lib", &lib), 0);
	assert_int_equal(vu_tree_inode_add(t, &inode), 0);
	assert_int_equal(vu_tree_name_add(t, lib, "a\nb", inode, &name), 0);
	s = vu_tree_dir_path(t, root);
	assert_string_equal(s, "");
	free(s);
	s = vu_tree_dir_path(t, lib);
	assert_string_equal(s, "usr/lib");
	free(s);
	s = vu_tree_name_path(t, name);
	assert_string_equal(s, "usr/lib/a\nb");
	free(s);
	assert_int_equal(vu_tree_name_add(t, root, "x", inode, &name), 0);
	s = vu_tree_name_path(t, name);
	assert_string_equal(s, "x");
	free(s);
	assert_int_equal(vu_tree_count_names(t, vu_tree_inode(t, inode)), 2);
	vu_tree_free(t);
}

/* What ten guests have the same names of takes the memory of one; any number of names stays right. */
static void names_are_kept_once(void **state)
{
	struct vu_tree *t = vu_tree_new();
	uint32_t root, inode, n, used = 0;
	char text[32];

	(void)state;
	assert_int_equal(vu_tree_dir_add(t, VU_NONE, 0, "", &root), 0);
	assert_int_equal(vu_tree_inode_add(t, &inode), 0);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 5000; i++) {
			snprintf(text, sizeof(text), "name-%u-%.*s", i, (int)(i % 9), "abcdefgh");
			assert_int_equal(vu_tree_name_add(t, root, text, inode, &n), 0);
			assert_string_equal(vu_tree_text(t, vu_tree_name(t, n)->name), text);
		}
		if (!round)
			used = t->text.used;
	}
	assert_int_equal(t->text.n_block, 1);
	/* but for the few that found no place */
	assert_true(t->text.used < used + used / 50);
	assert_int_equal(vu_tree_count_names(t, vu_tree_inode(t, inode)), 50000);
	vu_tree_free(t);
}

static void contents_are_interned(void **state)
{
	struct vu_tree *t = vu_tree_new();
	struct vu_digest d = {0};
	uint32_t n;

	(void)state;
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < 5000; i++) {
			memcpy(d.b, &i, sizeof(i));
			assert_int_equal(vu_tree_content_intern(t, &d, &n), 0);
			assert_int_equal(n, i);
		}
	assert_int_equal(t->contents.n, 5000);
	vu_tree_free(t);
}

static void attrs_are_interned(void **state)
{
	struct vu_attrs *a = vu_attrs_new();
	struct vu_attr v = {.mode = 0100644};
	uint32_t n, again;

	(void)state;
	for (uint32_t uid = 0; uid < 1000; uid++) {
		v.uid = uid;
		assert_int_equal(vu_attrs_intern(a, &v, &n), 0);
		assert_int_equal(n, uid);
	}
	v.full = true;
	assert_int_equal(vu_attrs_intern(a, &v, &n), 0);
	assert_int_equal(n, 1000);
	assert_int_equal(vu_attrs_intern(a, &v, &again), 0);
	assert_int_equal(again, n);
	assert_int_equal(vu_attrs_at(a, 500)->uid, 500);
	vu_attrs_free(a);
}

static void every_skip_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < VU_SKIP_N; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(vu_skip_name((enum vu_skip)i),
						vu_skip_name((enum vu_skip)k));
	assert_string_equal(vu_skip_name((enum vu_skip)250), "unknown");
}

static struct vu_key nth_key(uint32_t i)
{
	struct vu_key k = {0};
	struct vu_hash *h = vu_hash_new();

	vu_hash_begin(h);
	vu_hash_add(h, &i, sizeof(i));
	assert_int_equal(vu_hash_end(h, k.hash.b), 0);
	vu_hash_free(h);
	return k;
}

/* Each is in exactly one, and none has much more than its share; also of those behind a place. */
static void subsets_are_parts_of_all(void **state)
{
	struct vu_subset s = {.n = 7};
	uint32_t n[7] = {0}, late[7] = {0};

	(void)state;
	for (uint32_t i = 0; i < 7000; i++) {
		struct vu_key k = nth_key(i);
		unsigned in = 0;

		for (s.k = 1; s.k <= s.n; s.k++)
			if (vu_subset_has(&s, &k)) {
				in++;
				n[s.k - 1]++;
				late[s.k - 1] += vu_place_of(&k) > INT64_MAX / 2;
			}
		assert_int_equal(in, 1);
		assert_true(vu_subset_has(&(struct vu_subset){0}, &k));
		assert_true(vu_subset_has(&(struct vu_subset){1, 1}, &k));
	}
	for (int i = 0; i < 7; i++) {
		assert_in_range(n[i], 850, 1150);
		assert_in_range(late[i], 400, 600);
	}
}

static void subsets_are_read(void **state)
{
	static const char *const wrong[] = {"",	   "1",	   "/",	   "1/",   "/1",   "0/1",
					    "2/1", "1/2x", " 1/2", "-1/2", "1//2", "1/4294967296"};
	struct vu_subset s;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(vu_subset_parse(wrong[i], &s), -EINVAL);
	assert_int_equal(vu_subset_parse("3/7", &s), 0);
	assert_int_equal(s.k, 3);
	assert_int_equal(s.n, 7);
	assert_int_equal(vu_subset_parse("4294967295/4294967295", &s), 0);
}

static void places_follow_the_order_of_keys(void **state)
{
	struct vu_key a = {0}, b = {0}, g = {.generation = 1};

	(void)state;
	assert_int_equal(vu_place_of(&a), 1); /* 0 is none */
	memset(a.hash.b, 0xff, sizeof(a.hash.b));
	assert_true(vu_place_of(&a) == INT64_MAX);
	for (uint32_t i = 0; i < 1000; i++) {
		b = nth_key(i);
		if (i)
			assert_true((vu_place_compare(&a, &b) < 0) ==
				    (vu_place_of(&a) < vu_place_of(&b)));
		a = b;
	}
	b = (struct vu_key){0};
	assert_true(vu_place_compare(&b, &g) < 0 && vu_place_of(&b) == vu_place_of(&g));
	assert_int_equal(vu_place_compare(&g, &g), 0);
}

static void durations_are_read(void **state)
{
	static const struct {
		const char *s;
		uint64_t seconds;
	} right[] = {{"0", 0},	     {"90", 90},   {"90s", 90},	  {"15m", 900},
		     {"15min", 900}, {"1h", 3600}, {"2d", 172800}};
	static const char *const wrong[] = {"", "h", "1y", "1 h", "1hh", "-1", "1.5h", "1h30m"};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++) {
		assert_int_equal(vu_duration_parse(right[i].s, &ns), 0);
		assert_true(ns == right[i].seconds * UINT64_C(1000000000));
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(vu_duration_parse(wrong[i], &ns), -EINVAL);
	assert_int_equal(vu_duration_parse("99999999999999999999d", &ns), -ERANGE);
	assert_int_equal(vu_duration_parse("4000000000d", &ns), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_is_in_the_key),
		cmocka_unit_test(mtime_is_left_out_when_ignored),
		cmocka_unit_test(names_of_objects_go_round),
		cmocka_unit_test(paths_of_the_tree),
		cmocka_unit_test(names_are_kept_once),
		cmocka_unit_test(contents_are_interned),
		cmocka_unit_test(attrs_are_interned),
		cmocka_unit_test(every_skip_has_a_name),
		cmocka_unit_test(subsets_are_parts_of_all),
		cmocka_unit_test(subsets_are_read),
		cmocka_unit_test(places_follow_the_order_of_keys),
		cmocka_unit_test(durations_are_read),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
