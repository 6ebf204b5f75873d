/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which inodes are objects, and how often the pool is listed to know it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "link-farm.h"
#include "link/pool-index.h"

typedef int list_fn(void *arg, uint64_t ino, const struct vu_key *key);

int __real_vu_pool_list(const struct vu_pool *p, list_fn *fn, void *arg);
int __wrap_vu_pool_list(const struct vu_pool *p, list_fn *fn, void *arg);

static unsigned listings;
static int list_error;
static struct vu_pool_index *x;

int __wrap_vu_pool_list(const struct vu_pool *p, list_fn *fn, void *arg)
{
	listings++;
	return list_error ? list_error : __real_vu_pool_list(p, fn, arg);
}

static int end(void **state)
{
	list_error = 0;
	x = vu_pool_index_free(x);
	return clean_up(state);
}

static void share(struct farm *f)
{
	usleep(100000);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
}

static void begin(struct farm *f)
{
	populate(f, 4);
	share(f);
	assert_int_equal(vu_pool_index_new(f->pool, &x), 0);
	listings = 0;
}

static int find(const struct farm *f, unsigned g, const char *rel, struct vu_key *ret)
{
	struct vu_stat st;

	assert_int_equal(vu_stat_at(f->roots[g], rel, &st), 0);
	return vu_pool_index_find(x, &st, ret);
}

/* As old as files are that nobody works on. */
static void let_age(void)
{
	sleep(2);
	x = vu_pool_index_free(x);
	assert_int_equal(vu_pool_index_new(now.pool, &x), 0);
	listings = 0;
}

/* Each file of the farm has the key that its object is opened by. */
static void finds(struct farm *f)
{
	static const char *const files[] = {"usr/lib/f0", "usr/twin", "usr/lib/f1", "usr/lib/f3"};
	struct vu_key key;

	begin(f);
	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		assert_int_equal(find(f, i, files[i], &key), 1);
		int fd = vu_pool_object_open(f->pool, &key);
		struct vu_stat st;

		assert_true(fd >= 0);
		assert_int_equal(vu_stat_fd(fd, &st), 0);
		assert_int_equal(st.version.ino, stat_of(f, i, files[i]).st_ino);
		close(fd);
	}
	assert_int_equal(find(f, 0, "usr/lib", &key), 0);
	assert_int_equal(find(f, 0, "usr/own", &key), 0);
	assert_int_equal(listings, 0);
}

/* The same number on another file system is another file. */
static void other_device(struct farm *f)
{
	struct vu_stat st;
	struct vu_key key;

	begin(f);
	assert_int_equal(vu_stat_at(f->roots[0], "usr/lib/f1", &st), 0);
	st.version.dev++;
	assert_int_equal(vu_pool_index_find(x, &st, &key), 0);
	assert_int_equal(listings, 0);
}

/* What became an object since is found, by one new listing. */
static void finds_new(struct farm *f)
{
	struct vu_key key;
	char p[256];

	begin(f);
	for (unsigned g = 0; g < 2; g++) {
		guest_path(f, g, "usr/new", p);
		put_text(p, "new, and longer than what fits into an inode");
	}
	share(f);
	listings = 0;
	assert_int_equal(find(f, 1, "usr/new", &key), 1);
	assert_int_equal(listings, 1);
	assert_int_equal(find(f, 0, "usr/new", &key), 1);
	assert_int_equal(listings, 1);
}

/* Of files that cannot be objects nothing is listed: without the flag, or older than the listing. */
static void lists_seldom(struct farm *f)
{
	struct vu_key key;

	begin(f);
	assert_int_equal(
		sh("cd %s/g0/usr && ln own own2 && cp own old && ln old old2 && chattr +i old",
		   f->fs->mnt),
		0);
	usleep(100000);
	assert_int_equal(find(f, 0, "usr/own", &key), 0);
	assert_int_equal(listings, 0);
	/* a guest's immutable file, young: not more often than each 50 ms */
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(find(f, 0, "usr/old", &key), 0);
	assert_in_range(listings, 1, 40);
	let_age();
	usleep(100000);
	assert_int_equal(find(f, 0, "usr/old", &key), 0);
	assert_int_equal(listings, 0);
	/* claimed, as an object is that has no flag for a moment */
	assert_int_equal(vu_claim(vu_pool_claims(f->pool), stat_of(f, 0, "usr/own").st_ino), 0);
	assert_int_equal(find(f, 0, "usr/own", &key), 0);
	vu_claim_release(vu_pool_claims(f->pool), stat_of(f, 0, "usr/own").st_ino);
	vu_pool_index_stale(x);
	assert_int_equal(find(f, 0, "usr/old", &key), 0);
	assert_int_equal(listings, 1);
	assert_int_equal(sh("chattr -i %s/g0/usr/old", f->fs->mnt), 0);
}

/* An error is told, and it is tried again. */
static void fails(struct farm *f)
{
	struct vu_pool_index *none = NULL;
	struct vu_key key;

	begin(f);
	list_error = -EIO;
	assert_int_equal(vu_pool_index_new(f->pool, &none), -EIO);
	assert_null(none);
	assert_int_equal(sh("cd %s/g0/usr && ln own own2 && chattr +i own", f->fs->mnt), 0);
	usleep(100000);
	assert_int_equal(find(f, 0, "usr/own", &key), -EIO);
	/* what was known is known */
	assert_int_equal(find(f, 0, "usr/lib/f1", &key), 1);
	list_error = 0;
	usleep(100000);
	assert_int_equal(find(f, 0, "usr/own", &key), 0);
	assert_int_equal(find(f, 0, "usr/lib/f1", &key), 1);
	assert_int_equal(sh("chattr -i %s/g0/usr/own", f->fs->mnt), 0);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST_ON(xfs, finds),	 TEST_ON(btrfs, finds), TEST_ON(xfs, other_device),
		TEST_ON(xfs, finds_new), TEST_ON(xfs, fails),	TEST_ON(xfs, lists_seldom),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].teardown_func = end;
	return cmocka_run_group_tests_name("pool-index", tests, NULL, NULL);
}
