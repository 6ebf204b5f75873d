/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib/link/live: names get private copies one by one, while others work on the same pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/stat.h"
#include "link-farm.h"
#include "link/live.h"

static struct vu_pool *shared;
static struct vu_live_env env;
static struct vu_live *live;
static struct vu_live_worker *worker;

static const struct vu_sink sink = {on_event, &seen};

static void open_live(const struct farm *f)
{
	char *why = NULL;

	assert_int_equal(vu_pool_open(f->roots[0], VU_POOL_SHARE, &shared, &why), 0);
	free(why);
	env = (struct vu_live_env){
		.pool = shared,
		.guests = &f->guests,
		.root_fds = f->roots,
		.max_xattr_bytes = 65536,
		.sink = &sink,
	};
	assert_int_equal(vu_live_new(&env, &live), 0);
	assert_int_equal(vu_live_worker_new(live, &worker), 0);
}

static void close_live(void)
{
	worker = vu_live_worker_free(worker);
	live = vu_live_free(live);
	shared = vu_pool_close(shared);
}

static int end(void **state)
{
	close_live();
	return clean_up(state);
}

static void begin(struct farm *f)
{
	populate(f, 4);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	open_live(f);
}

static struct vu_key key_of(const struct farm *f, unsigned g, const char *rel)
{
	struct vu_key key;
	struct vu_stat st;

	assert_int_equal(vu_stat_at(f->roots[g], rel, &st), 0);
	assert_int_equal(vu_live_find(live, &st, &key), 1);
	return key;
}

static int break_by(struct vu_live_worker *w, const struct farm *f, unsigned g, const char **paths,
		    uint32_t n)
{
	struct vu_live_name name = {
		.guest = g,
		.ino = stat_of(f, g, paths[0]).st_ino,
		.key = key_of(f, g, paths[0]),
		.paths = paths,
		.n_paths = n,
	};

	return vu_live_break(w, &name);
}

static int break_one(const struct farm *f, unsigned g, const char *rel)
{
	return break_by(worker, f, g, &rel, 1);
}

/* Only the inode is another: the guest's file is its own, and the others still share. */
static void one(struct farm *f)
{
	static const char *const files[] = {"usr/lib/f1", "usr/lib/f2", "usr/lib/f3"};

	begin(f);
	manifest(f, "before", true);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(break_one(f, 1, files[i]), 0);
		assert_false(immutable(f, 1, files[i]));
		assert_int_equal(stat_of(f, 1, files[i]).st_nlink, 1);
		assert_true(immutable(f, 0, files[i]));
		assert_int_equal(stat_of(f, 0, files[i]).st_ino, stat_of(f, 2, files[i]).st_ino);
	}
	manifest(f, "after", true);
	same_manifest(f, "before", "after");
	assert_int_equal(vu_recover_is_needed(f->pool), 0);
	close_live();
	stage_is_empty(f);
}

/* The last guest that has it gets the inode itself, and the pool forgets it. */
static void last(struct farm *f)
{
	struct vu_live_stats stats;

	begin(f);
	uint64_t ino = stat_of(f, 0, "usr/lib/f1").st_ino;

	for (unsigned g = 0; g < f->n; g++)
		assert_int_equal(break_one(f, g, "usr/lib/f1"), 0);
	assert_int_equal(stat_of(f, f->n - 1, "usr/lib/f1").st_ino, ino);
	assert_false(immutable(f, f->n - 1, "usr/lib/f1"));
	vu_live_stats(live, &stats);
	assert_int_equal(stats.names, f->n);
	assert_int_equal(stats.given, 1);
	assert_int_equal(stats.copied_bytes,
			 (f->n - 1) * (unsigned)stat_of(f, 0, "usr/lib/f1").st_size);
	close_live();
	assert_int_equal(n_objects(f), 3);
	stage_is_empty(f);
}

/* f0 has two names in each guest: they stay one file. */
static void inner_links(struct farm *f)
{
	const char *paths[] = {"usr/twin", "usr/lib/f0"};

	begin(f);
	assert_int_equal(break_by(worker, f, 2, paths, 2), 0);
	assert_int_equal(stat_of(f, 2, paths[0]).st_ino, stat_of(f, 2, paths[1]).st_ino);
	assert_int_equal(stat_of(f, 2, paths[0]).st_nlink, 2);
	assert_false(immutable(f, 2, paths[0]));
	assert_true(immutable(f, 1, paths[0]));
}

/*
 * A path that is none of its names does not stand for another guest's: two guests have it, and one is said to
 * have two names.
 */
static void not_the_last(struct farm *f)
{
	const char *paths[] = {"usr/lib/f1", "usr/lib/none"};

	begin(f);
	uint64_t ino = stat_of(f, 0, "usr/lib/f1").st_ino;

	assert_int_equal(break_one(f, 2, "usr/lib/f1"), 0);
	assert_int_equal(break_one(f, 3, "usr/lib/f1"), 0);
	assert_int_equal(stat_of(f, 0, "usr/lib/f1").st_nlink, 3);
	assert_int_equal(break_by(worker, f, 0, paths, 2), 0);
	assert_int_not_equal(stat_of(f, 0, "usr/lib/f1").st_ino, ino);
	assert_false(immutable(f, 0, "usr/lib/f1"));
	assert_int_equal(stat_of(f, 1, "usr/lib/f1").st_ino, ino);
	assert_true(immutable(f, 1, "usr/lib/f1"));
}

/* It is no object's name any more, or something else: then nothing is done. */
static void changed(struct farm *f)
{
	const char *path = "usr/lib/f1";

	begin(f);
	struct vu_live_name name = {
		.guest = 1,
		.ino = stat_of(f, 1, path).st_ino,
		.key = key_of(f, 1, path),
		.paths = &path,
		.n_paths = 1,
	};

	assert_int_equal(vu_live_break(worker, &name), 0);
	assert_int_equal(vu_live_break(worker, &name), VU_LIVE_CHANGED);
	path = "usr/lib/none";
	assert_int_equal(vu_live_break(worker, &name), VU_LIVE_CHANGED);
	path = "usr/lib";
	assert_int_equal(vu_live_break(worker, &name), VU_LIVE_CHANGED);
	name.key.generation += 3;
	path = "usr/lib/f1";
	assert_int_equal(vu_live_break(worker, &name), VU_LIVE_CHANGED);
	assert_int_equal(vu_recover_is_needed(f->pool), 0);
}

/* What a linker makes meanwhile is known as soon as it is asked for; a guest's own files never are. */
static void finds_new(struct farm *f)
{
	struct vu_key key;
	struct vu_stat st;
	char p[256];

	begin(f);
	for (unsigned g = 0; g < 2; g++) {
		guest_path(f, g, "usr/new", p);
		put_text(p, "new");
	}
	assert_int_equal(vu_stat_at(f->roots[0], "usr/new", &st), 0);
	assert_int_equal(vu_live_find(live, &st, &key), 0);
	assert_int_equal(sh("ln %s/g0/usr/own %s/g0/usr/own2", f->fs->mnt, f->fs->mnt), 0);
	assert_int_equal(vu_stat_at(f->roots[0], "usr/own", &st), 0);
	assert_int_equal(vu_live_find(live, &st, &key), 0);
	usleep(100000);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_true(immutable(f, 1, "usr/new"));
	assert_int_equal(break_one(f, 1, "usr/new"), 0);
	assert_false(immutable(f, 1, "usr/new"));
}

/* While a linker or another supervisor works on it. */
static void claimed(struct farm *f)
{
	begin(f);
	uint64_t ino = stat_of(f, 0, "usr/lib/f1").st_ino;

	assert_int_equal(vu_claim(vu_pool_claims(f->pool), ino), 0);
	assert_int_equal(break_one(f, 1, "usr/lib/f1"), VU_LIVE_BUSY);
	assert_true(immutable(f, 1, "usr/lib/f1"));
	vu_claim_release(vu_pool_claims(f->pool), ino);
	assert_int_equal(break_one(f, 1, "usr/lib/f1"), 0);
}

/* The one who writes is told of a full disk; nothing is left of the try. */
static void no_space(struct farm *f)
{
	char *big = malloc(8 << 20), p[256];

	memset(big, 'x', 8 << 20);
	for (unsigned g = 0; g < 2; g++) {
		guest_path(f, g, "big", p);
		put_file(p, big, 8 << 20);
	}
	free(big);
	begin(f);
	assert_int_equal(sh("dd if=/dev/zero of=%s/fill bs=1M 2>/dev/null; sync -f %s", f->fs->mnt,
			    f->fs->mnt),
			 0);
	/* a copy that shares its extents needs no space */
	int r = break_one(f, 0, "big");

	assert_true(r == -ENOSPC || (!r && !strcmp(f->fs->type, "xfs")));
	assert_int_equal(immutable(f, 0, "big"), r != 0);
	if (!r)
		return;
	assert_int_equal(sh("rm %s/fill; sync -f %s", f->fs->mnt, f->fs->mnt), 0);
	assert_int_equal(break_one(f, 0, "big"), 0);
	close_live();
	stage_is_empty(f);
}

#define THREADS GUESTS
#define ROUNDS 40

struct breaking {
	struct farm *f;
	unsigned g;
	unsigned failed;
};

static void *break_all(void *arg)
{
	struct breaking *b = arg;
	struct vu_live_worker *w = NULL;
	char path[64];
	const char *paths[] = {path};

	if (vu_live_worker_new(live, &w))
		return b->failed++, NULL;
	for (unsigned i = 0; i < ROUNDS; i++) {
		snprintf(path, sizeof(path), "usr/lib/f%u", i + 1);
		b->failed += break_by(w, b->f, b->g, paths, 1) != 0;
	}
	vu_live_worker_free(w);
	return NULL;
}

/* All guests at once, the same objects: every one gets its own, and no object is left over. */
static void together(struct farm *f)
{
	struct breaking b[THREADS];
	pthread_t thread[THREADS];
	char path[64];

	populate(f, ROUNDS + 1);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	open_live(f);
	manifest(f, "before", true);
	for (unsigned g = 0; g < THREADS; g++) {
		b[g] = (struct breaking){.f = f, .g = g};
		pthread_create(&thread[g], NULL, break_all, &b[g]);
	}
	for (unsigned g = 0; g < THREADS; g++)
		pthread_join(thread[g], NULL);
	for (unsigned g = 0; g < THREADS; g++) {
		assert_int_equal(b[g].failed, 0);
		for (unsigned i = 0; i < ROUNDS; i++) {
			snprintf(path, sizeof(path), "usr/lib/f%u", i + 1);
			assert_int_equal(stat_of(f, g, path).st_nlink, 1);
			assert_false(immutable(f, g, path));
		}
	}
	manifest(f, "after", true);
	same_manifest(f, "before", "after");
	close_live();
	assert_int_equal(n_objects(f), 1);
	stage_is_empty(f);
	assert_int_equal(vu_recover_is_needed(f->pool), 0);
}

ON_ALL(one)
ON_ALL(last)
ON_ALL(inner_links)
ON_ALL(together)
ON_ALL(no_space)

int main(void)
{
	struct CMUnitTest tests[] = {
		TESTS(one),
		TESTS(last),
		TESTS(inner_links),
		TESTS(together),
		TESTS(no_space),
		TEST_ON(xfs, not_the_last),
		TEST_ON(xfs, changed),
		TEST_ON(xfs, finds_new),
		TEST_ON(xfs, claimed),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].teardown_func = end;
	return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
