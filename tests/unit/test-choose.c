/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "match/choose.h"
#include "match/policy.h"

#define GUESTS 3

struct farm {
	struct vu_tree *t;
	struct vu_guests guests;
	uint8_t guest_fs[GUESTS];
	uint32_t root[GUESTS];
	struct vu_choose_env env;
	uint32_t busy_inode; /* the one that processes map */
	uint64_t owned_by_0; /* object that guest 0 has a name of */
};

static bool guest_has(void *arg, uint32_t guest, uint64_t ino)
{
	const struct farm *f = arg;

	return !guest && f->owned_by_0 && ino == f->owned_by_0;
}

static uint32_t in_use(void *arg, const struct vu_inode *n)
{
	const struct farm *f = arg;

	return f->busy_inode != VU_NONE && n == vu_tree_inode(f->t, f->busy_inode) ? 3 : 0;
}

static int setup(void **state)
{
	struct farm *f = calloc(1, sizeof(*f));

	f->t = vu_tree_new();
	f->busy_inode = VU_NONE;
	for (uint16_t g = 0; g < GUESTS; g++) {
		struct vu_guest guest = {
			.name = strdup("g"), .path = strdup("/g"), .domain = strdup("")};

		guest.name[0] = (char)('a' + g);
		assert_int_equal(vu_guests_add_consume(&f->guests, &guest), 0);
		assert_int_equal(vu_tree_dir_add(f->t, VU_NONE, g, "", &f->root[g]), 0);
	}
	f->env = (struct vu_choose_env){
		.tree = f->t,
		.guests = &f->guests,
		.guest_fs = f->guest_fs,
		.mtime_exact = true,
		.max_links = 100,
		.guest_has = guest_has,
		.in_use = in_use,
		.arg = f,
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct farm *f = *state;

	vu_tree_free(f->t);
	vu_guests_done(&f->guests);
	free(f);
	return 0;
}

/* A file of guest g with content c, one name; everything else as given by attr. */
static uint32_t add_file(struct farm *f, uint16_t g, uint8_t c, const struct vu_attr *attr)
{
	static uint64_t ino = 100;
	struct vu_attr a = attr ? *attr : (struct vu_attr){.mode = 0100644};
	struct vu_digest d = {.b = {c}};
	uint32_t i, name;

	a.full = true;
	assert_int_equal(vu_tree_inode_add(f->t, &i), 0);
	struct vu_inode *n = vu_tree_inode(f->t, i);

	n->ino = ino++;
	n->size = 5000;
	n->mtime_ns = 7;
	n->guest = g;
	n->n_links = 1;
	n->fate = VU_NEW;
	n->flags = VU_INODE_READ;
	assert_int_equal(vu_attrs_intern(f->t->attrs, &a, &n->attr), 0);
	assert_int_equal(vu_tree_content_intern(f->t, &d, &n->content), 0);
	assert_int_equal(vu_tree_name_add(f->t, f->root[g], "file", i, &name), 0);
	return i;
}

/* Turns a file into an object of the pool with the key of its class. */
static void make_object(struct farm *f, uint32_t i, const char *domain, uint32_t generation)
{
	struct vu_inode *n = vu_tree_inode(f->t, i);
	struct vu_hash *h = vu_hash_new();
	struct vu_key key;

	assert_int_equal(vu_key_make(h, domain, &vu_tree_content(f->t, n->content)->digest, n->size,
				     vu_attrs_at(f->t->attrs, n->attr), true, n->mtime_ns, &key),
			 0);
	vu_hash_free(h);
	key.generation = generation;
	assert_int_equal(vu_chunks_add(&f->t->objects, 1, &n->key), 0);
	*vu_tree_key(f->t, n->key) = key;
	n->flags = VU_INODE_OBJECT;
	n->first_name = VU_NONE;
	n->guest = n->fs = 0;
}

static struct vu_plan plan(struct farm *f)
{
	struct vu_plan p = {0};

	assert_int_equal(vu_choose_plan(&f->env, &p), 0);
	return p;
}

static enum vu_skip skip_of(struct farm *f, uint32_t i)
{
	return vu_tree_inode(f->t, i)->skip;
}

static void equal_files_share(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL), b = add_file(f, 1, 1, NULL),
		 c = add_file(f, 2, 1, NULL);
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 1);
	assert_int_equal(p.objects[0].keeper, a);
	assert_false(p.objects[0].keeper_is_object);
	assert_int_equal(p.objects[0].n, 2);
	assert_int_equal(p.targets[p.objects[0].first], b);
	assert_int_equal(p.targets[p.objects[0].first + 1], c);
	assert_int_equal(p.n_names, 2);
	assert_int_equal(skip_of(f, a), VU_SKIP_NONE);
	vu_plan_done(&p);
}

static void differences_keep_apart(void **state)
{
	static const struct {
		struct vu_attr attr;
		enum vu_skip skip;
	} cases[] = {
		{{.mode = 0100600}, VU_SKIP_MODE_DIFFERS},
		{{.mode = 0100644, .uid = 100000}, VU_SKIP_OWNER_DIFFERS},
		{{.mode = 0100644, .gid = 5}, VU_SKIP_OWNER_DIFFERS},
		{{.mode = 0100644, .flags = 0x40}, VU_SKIP_FLAGS_DIFFER},
		{{.mode = 0100644, .has_xattrs = true, .xattrs = {{9}}}, VU_SKIP_XATTR_DIFFERS},
	};
	struct farm *f = *state;

	for (uint8_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t a = add_file(f, 0, (uint8_t)(i + 1), NULL);
		uint32_t b = add_file(f, 1, (uint8_t)(i + 1), &cases[i].attr);
		struct vu_plan p = plan(f);

		assert_int_equal(p.n_objects, 0);
		assert_int_equal(skip_of(f, a), cases[i].skip);
		assert_int_equal(skip_of(f, b), cases[i].skip);
		vu_plan_done(&p);
	}
}

static void mtime_counts_only_when_exact(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL), b = add_file(f, 1, 1, NULL);

	vu_tree_inode(f->t, b)->mtime_ns = 8;
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	assert_int_equal(skip_of(f, a), VU_SKIP_MTIME_DIFFERS);
	vu_plan_done(&p);
	vu_tree_inode(f->t, a)->skip = vu_tree_inode(f->t, b)->skip = VU_SKIP_NONE;
	f->env.mtime_exact = false;
	p = plan(f);
	assert_int_equal(p.n_objects, 1);
	vu_plan_done(&p);
}

static void domains_keep_apart(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL);

	add_file(f, 1, 1, NULL);
	free(f->guests.v[1].domain);
	f->guests.v[1].domain = strdup("other");
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	assert_int_equal(skip_of(f, a), VU_SKIP_OTHER_DOMAIN);
	vu_plan_done(&p);
}

static void an_object_of_another_domain_is_not_used(void **state)
{
	struct farm *f = *state;
	uint32_t o = add_file(f, 0, 1, NULL), a = add_file(f, 1, 1, NULL);

	make_object(f, o, "other", 0);
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	assert_int_equal(skip_of(f, a), VU_SKIP_OTHER_DOMAIN);
	vu_plan_done(&p);
}

static void copies_inside_a_guest_get_generations(void **state)
{
	struct farm *f = *state;
	uint32_t a1 = add_file(f, 0, 1, NULL), a2 = add_file(f, 0, 1, NULL);
	uint32_t b1 = add_file(f, 1, 1, NULL), b2 = add_file(f, 1, 1, NULL);
	uint32_t c1 = add_file(f, 2, 1, NULL), a3 = add_file(f, 0, 1, NULL);
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 2);
	assert_int_equal(p.objects[0].key.generation, 0);
	assert_int_equal(p.objects[0].keeper, a1);
	assert_int_equal(p.objects[0].n, 2);
	assert_int_equal(p.targets[p.objects[0].first], b1);
	assert_int_equal(p.targets[p.objects[0].first + 1], c1);
	assert_int_equal(p.objects[1].key.generation, 1);
	assert_int_equal(p.objects[1].keeper, a2);
	assert_int_equal(p.targets[p.objects[1].first], b2);
	/* the third copy has nobody to share with but its own guest */
	assert_int_not_equal(skip_of(f, a3), VU_SKIP_NONE);
	vu_plan_done(&p);
}

static void copies_in_one_guest_only_stay(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL);

	add_file(f, 0, 1, NULL);
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	assert_int_equal(skip_of(f, a), VU_SKIP_SAME_GUEST);
	vu_plan_done(&p);
}

static void an_object_takes_a_single_file(void **state)
{
	struct farm *f = *state;
	uint32_t o = add_file(f, 0, 1, NULL), a = add_file(f, 1, 1, NULL);

	make_object(f, o, "", 0);
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 1);
	assert_true(p.objects[0].keeper_is_object);
	assert_int_equal(p.objects[0].keeper, o);
	assert_int_equal(p.targets[0], a);
	vu_plan_done(&p);
}

static void a_guest_that_has_the_object_gets_another(void **state)
{
	struct farm *f = *state;
	uint32_t o = add_file(f, 0, 1, NULL), a = add_file(f, 0, 1, NULL),
		 b = add_file(f, 1, 1, NULL);

	make_object(f, o, "", 0);
	f->owned_by_0 = vu_tree_inode(f->t, o)->ino;
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 1);
	assert_int_equal(p.objects[0].keeper, o);
	assert_int_equal(p.objects[0].n, 1);
	assert_int_equal(p.targets[0], b);
	assert_int_not_equal(skip_of(f, a), VU_SKIP_NONE);
	vu_plan_done(&p);
}

static void links_are_limited(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL);

	add_file(f, 1, 1, NULL);
	add_file(f, 2, 1, NULL);
	f->env.max_links = 3; /* the pool's name and two more */
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 1);
	assert_int_equal(p.objects[0].keeper, a);
	assert_int_equal(p.objects[0].n, 1);
	vu_plan_done(&p);
}

static void the_most_used_is_kept(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL), b = add_file(f, 1, 1, NULL);

	f->busy_inode = b;
	struct vu_plan p = plan(f);

	assert_int_equal(p.objects[0].keeper, b);
	assert_int_equal(p.targets[0], a);
	vu_plan_done(&p);
}

static void without_digest_nothing_is_equal(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL), b = add_file(f, 1, 1, NULL);

	vu_tree_inode(f->t, a)->content = vu_tree_inode(f->t, b)->content = VU_NONE;
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	vu_plan_done(&p);
}

static void what_only_the_catalog_says_is_not_linked(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL);

	add_file(f, 1, 1, NULL);
	vu_tree_inode(f->t, a)->flags = 0;
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	vu_plan_done(&p);
}

/* Unless nothing will be linked at all: an estimate. */
static void what_is_believed_is_planned(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL), b = add_file(f, 1, 1, NULL);

	vu_tree_inode(f->t, a)->flags = VU_INODE_BELIEVED;
	vu_tree_inode(f->t, b)->flags = VU_INODE_BELIEVED;
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 1);
	assert_int_equal(p.objects[0].n, 1);
	vu_plan_done(&p);
}

static void skipped_files_are_left_alone(void **state)
{
	struct farm *f = *state;
	uint32_t a = add_file(f, 0, 1, NULL);

	add_file(f, 1, 1, NULL);
	vu_tree_inode(f->t, a)->skip = VU_SKIP_CONFFILE;
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	assert_int_equal(skip_of(f, a), VU_SKIP_CONFFILE);
	vu_plan_done(&p);
}

/* Those that it differs from became an object in an earlier run. */
static void what_differs_from_an_object_is_told(void **state)
{
	static const struct vu_attr xattr = {.mode = 0100644, .has_xattrs = true, .xattrs = {{9}}};
	struct farm *f = *state;
	uint32_t o = add_file(f, 0, 1, NULL), a = add_file(f, 1, 1, &xattr);

	make_object(f, o, "", 0);
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	assert_int_equal(skip_of(f, a), VU_SKIP_XATTR_DIFFERS);
	vu_plan_done(&p);
}

static void an_object_says_mtime_domain_and_guest(void **state)
{
	struct farm *f = *state;
	uint32_t o = add_file(f, 0, 1, NULL), late = add_file(f, 1, 1, NULL);
	uint32_t x = add_file(f, 0, 2, NULL), other = add_file(f, 1, 2, NULL);
	uint32_t y = add_file(f, 0, 3, NULL), twice = add_file(f, 0, 3, NULL);

	make_object(f, o, "", 0);
	make_object(f, x, "another", 0);
	make_object(f, y, "", 0);
	vu_tree_inode(f->t, late)->mtime_ns++;
	f->owned_by_0 = vu_tree_inode(f->t, y)->ino;
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 0);
	assert_int_equal(skip_of(f, late), VU_SKIP_MTIME_DIFFERS);
	assert_int_equal(skip_of(f, other), VU_SKIP_OTHER_DOMAIN);
	assert_int_equal(skip_of(f, twice), VU_SKIP_SAME_GUEST);
	vu_plan_done(&p);
}

/* Whoever else is mapped; and not where only other guests have it. */
static void a_templates_file_is_kept(void **state)
{
	struct farm *f = *state;
	uint32_t used = add_file(f, 0, 1, NULL), b = add_file(f, 1, 1, NULL);
	uint32_t mine = add_file(f, 2, 1, NULL);
	uint32_t x = add_file(f, 0, 2, NULL);

	add_file(f, 1, 2, NULL);
	(void)b;
	f->guests.v[2].template = true;
	f->busy_inode = used;
	struct vu_plan p = plan(f);

	assert_int_equal(p.n_objects, 2);
	assert_int_equal(p.objects[0].keeper == x ? p.objects[1].keeper : p.objects[0].keeper,
			 mine);
	assert_true(p.objects[0].keeper == x || p.objects[1].keeper == x);
	vu_plan_done(&p);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(equal_files_share),
		T(differences_keep_apart),
		T(mtime_counts_only_when_exact),
		T(domains_keep_apart),
		T(an_object_of_another_domain_is_not_used),
		T(copies_inside_a_guest_get_generations),
		T(copies_in_one_guest_only_stay),
		T(an_object_takes_a_single_file),
		T(a_guest_that_has_the_object_gets_another),
		T(links_are_limited),
		T(the_most_used_is_kept),
		T(a_templates_file_is_kept),
		T(without_digest_nothing_is_equal),
		T(what_only_the_catalog_says_is_not_linked),
		T(what_is_believed_is_planned),
		T(skipped_files_are_left_alone),
		T(what_differs_from_an_object_is_told),
		T(an_object_says_mtime_domain_and_guest),
	};

	return cmocka_run_group_tests_name("choose", tests, NULL, NULL);
}
