/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups: who has a partner and must be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "scan/group.h"

static const struct vu_walk_guest guests[] = {
	{.name = "a"},
	{.name = "b"},
	{.name = "c"},
};
static const struct vu_walk_env env = {.guests = guests, .n_guests = 3};

static struct vu_inode *add(struct vu_tree *t, uint16_t guest, uint64_t size, uint32_t uid)
{
	struct vu_attr a = {.mode = S_IFREG | 0644, .uid = uid};
	uint32_t i;

	assert_int_equal(vu_tree_inode_add(t, &i), 0);
	struct vu_inode *n = vu_tree_inode(t, i);

	n->ino = i + 1;
	n->size = size;
	n->guest = guest;
	n->fate = VU_NEW;
	assert_int_equal(vu_attrs_intern(t->attrs, &a, &n->attr), 0);
	return n;
}

static void make_known(struct vu_tree *t, struct vu_inode *n)
{
	struct vu_attr a = *vu_attrs_at(t->attrs, n->attr);

	a.full = true;
	assert_int_equal(vu_attrs_intern(t->attrs, &a, &n->attr), 0);
	n->content = 1;
}

static void partners(void **state)
{
	struct vu_tree *t = vu_tree_new();
	struct vu_groups g;

	(void)state;
	struct vu_inode *a = add(t, 0, 100, 0), *b = add(t, 1, 100, 0);
	struct vu_inode *other_owner = add(t, 1, 100, 5), *other_size = add(t, 1, 101, 0);
	struct vu_inode *skipped = add(t, 1, 100, 0), *third_guest = add(t, 2, 100, 0);
	struct vu_inode *twin1 = add(t, 0, 7, 0), *twin2 = add(t, 0, 7, 0);

	skipped->skip = VU_SKIP_EXCLUDED;
	assert_int_equal(vu_group_run(&env, t, false, &g), 0);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.start[1] - g.start[0], 3);
	assert_int_equal(g.member[0], 0);
	assert_int_equal(g.member[1], 1);
	assert_int_equal(g.n_files, 3);
	assert_int_equal(g.bytes, 300);
	assert_int_equal(a->skip, VU_SKIP_NONE);
	assert_int_equal(b->skip, VU_SKIP_NONE);
	assert_int_equal(other_owner->skip, VU_SKIP_UNIQUE);
	assert_int_equal(other_size->skip, VU_SKIP_UNIQUE);
	assert_int_equal(third_guest->skip, VU_SKIP_NONE);
	assert_int_equal(skipped->skip, VU_SKIP_EXCLUDED);
	assert_int_equal(twin1->skip, VU_SKIP_UNIQUE);
	assert_int_equal(twin2->skip, VU_SKIP_UNIQUE);
	vu_groups_done(&g);
	vu_tree_free(t);
}

static void object_is_a_partner(void **state)
{
	struct vu_tree *t = vu_tree_new();
	struct vu_groups g;

	(void)state;
	struct vu_inode *o = add(t, 0, 100, 0), *c = add(t, 2, 100, 0);

	o->flags |= VU_INODE_OBJECT;
	make_known(t, o);
	assert_int_equal(vu_group_run(&env, t, false, &g), 0);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.n_files, 1);
	assert_int_equal(c->skip, VU_SKIP_NONE);
	vu_groups_done(&g);
	/* the catalog says that it is equal: so it would be linked, and is read before */
	make_known(t, c);
	assert_int_equal(vu_group_run(&env, t, false, &g), 0);
	assert_int_equal(g.n_files, 1);
	assert_int_equal(c->content, VU_NONE);
	vu_groups_done(&g);
	/* read in this run: there is nothing to be read, and it is a candidate still */
	make_known(t, c);
	c->flags |= VU_INODE_READ;
	assert_int_equal(vu_group_run(&env, t, false, &g), 0);
	assert_int_equal(g.n, 0);
	assert_int_equal(c->skip, VU_SKIP_NONE);
	vu_groups_done(&g);
	vu_tree_free(t);
}

/* Where nothing will be linked, what the catalog knows may be enough: but not of who is in use. */
static void believed(void **state)
{
	struct vu_tree *t = vu_tree_new();
	struct vu_groups g;

	(void)state;
	struct vu_inode *a = add(t, 0, 100, 0), *b = add(t, 1, 100, 0), *in_use = add(t, 2, 100, 0);

	make_known(t, a);
	make_known(t, b);
	make_known(t, in_use);
	a->flags |= VU_INODE_BELIEVED;
	b->flags |= VU_INODE_BELIEVED;
	assert_int_equal(vu_group_run(&env, t, false, &g), 0);
	assert_int_equal(g.n_files, 1);
	assert_int_equal(a->content, 1);
	assert_int_equal(b->content, 1);
	assert_int_equal(in_use->content, VU_NONE);
	vu_groups_done(&g);
	vu_tree_free(t);
}

/* Of an object that nobody has read anything may be equal, so also what the catalog knows. */
static void unknown_object(void **state)
{
	struct vu_tree *t = vu_tree_new();
	struct vu_groups g;

	(void)state;
	struct vu_inode *c = add(t, 2, 100, 0);

	make_known(t, c);
	add(t, 0, 100, 0)->flags |= VU_INODE_OBJECT;
	assert_int_equal(vu_group_run(&env, t, false, &g), 0);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.n_files, 2);
	assert_int_equal(c->content, VU_NONE);
	vu_groups_done(&g);
	vu_tree_free(t);
}

static void mtime_in_the_key(void **state)
{
	struct vu_tree *t = vu_tree_new();
	struct vu_groups g;

	(void)state;
	struct vu_inode *a = add(t, 0, 100, 0);

	add(t, 1, 100, 0)->mtime_ns = 5;
	assert_int_equal(vu_group_run(&env, t, false, &g), 0);
	assert_int_equal(g.n, 1);
	vu_groups_done(&g);
	assert_int_equal(vu_group_run(&env, t, true, &g), 0);
	assert_int_equal(g.n, 0);
	assert_int_equal(a->skip, VU_SKIP_UNIQUE);
	vu_groups_done(&g);
	vu_tree_free(t);
}

static int seen_twice(const struct vu_tree *t, const struct vu_groups *g, uint8_t *seen)
{
	for (uint32_t i = 0; i < g->n; i++) {
		const struct vu_inode *first = vu_tree_inode(t, g->member[g->start[i]]);

		assert_in_range(g->start[i + 1] - g->start[i], 1, VU_GROUP_MAX);
		for (uint32_t m = g->start[i]; m < g->start[i + 1]; m++) {
			if (seen[g->member[m]]++)
				return 1;
			assert_int_equal(vu_tree_inode(t, g->member[m])->size, first->size);
		}
	}
	return 0;
}

/* All of many are in exactly one group, of their size, whatever the sorting does. */
static void many(void **state)
{
	enum {
		N = 60000
	};
	struct vu_tree *t = vu_tree_new();
	static uint8_t seen[N];
	struct vu_groups g;
	uint32_t x = 1;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		x = x * 1664525 + 1013904223;
		add(t, i % 2, i % 10 ? 1 + (x >> 8) % 8000 : 4096, 0);
	}
	assert_int_equal(vu_group_run(&env, t, false, &g), 0);
	assert_int_equal(seen_twice(t, &g, seen), 0);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(seen[i], vu_tree_inode(t, i)->skip == VU_SKIP_NONE);
	assert_true(g.n_files > N * 9 / 10);
	vu_groups_done(&g);
	vu_tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partners),	  cmocka_unit_test(object_is_a_partner),
		cmocka_unit_test(unknown_object), cmocka_unit_test(mtime_in_the_key),
		cmocka_unit_test(many),		  cmocka_unit_test(believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
