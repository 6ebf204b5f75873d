/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib/link/claim: who breaks links works beside a linker. Locks are of the open file description, so a
 * pool that is opened a second time stands for another process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/iattr.h"
#include "link-farm.h"
#include "link/claim.h"
#include "link/journal.h"
#include "link/moment.h"
#include "link/recover.h"

static struct vu_pool *sharer;

static int open_sharer(const struct farm *f)
{
	char *why = NULL;
	int r = vu_pool_open(f->roots[0], VU_POOL_SHARE, &sharer, &why);

	free(why);
	return r;
}

static int end(void **state)
{
	sharer = vu_pool_close(sharer);
	return clean_up(state);
}

static void unify(struct farm *f)
{
	populate(f, 3);
	assert_int_equal(sh("rm %s/g3/usr/lib/f1", f->fs->mnt), 0);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(open_sharer(f), 0);
}

/* What another has claimed is left alone by the linker, and is linked the next time. */
static void linker_keeps_off(struct farm *f)
{
	char p[256];

	unify(f);
	uint64_t ino = stat_of(f, 0, "usr/lib/f1").st_ino;

	assert_int_equal(vu_claim(vu_pool_claims(sharer), ino), 0);
	for (unsigned g = 0; g < 2; g++) {
		guest_path(f, g, "usr/lib/new", p);
		put_text(p, "new");
	}
	assert_int_equal(sh("cp -a %s/g0/usr/lib/f1 %s/g3/usr/lib/f1", f->fs->mnt, f->fs->mnt), 0);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_true(immutable(f, 1, "usr/lib/new"));
	assert_false(immutable(f, 3, "usr/lib/f1"));
	vu_claim_release(vu_pool_claims(sharer), ino);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_true(immutable(f, 3, "usr/lib/f1"));
	assert_int_equal(stat_of(f, 3, "usr/lib/f1").st_ino, ino);
}

/* Who breaks links knows an inode's names from when he began: one with several stays private until he has gone. */
static void several_names(struct farm *f)
{
	unify(f);
	for (unsigned g = 0; g < f->n; g++)
		assert_int_equal(
			sh("cd %s/g%u/usr && echo two names >twin2 && touch -d @1 twin2 && "
			   "ln twin2 lib/twin2 && echo one >one && touch -d @1 one",
			   f->fs->mnt, g),
			0);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	for (unsigned g = 0; g < f->n; g++) {
		assert_true(immutable(f, g, "usr/one"));
		assert_false(immutable(f, g, "usr/twin2"));
	}
	sharer = vu_pool_close(sharer);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	for (unsigned g = 0; g < f->n; g++)
		assert_true(immutable(f, g, "usr/twin2"));
	assert_int_equal(stat_of(f, 0, "usr/twin2").st_ino, stat_of(f, 1, "usr/lib/twin2").st_ino);
}

/* While a linker works on an object nobody else gets it; behind it everything is free. */
static void breaker_keeps_off(struct farm *f)
{
	struct vu_breaker_stats stats;

	unify(f);
	uint64_t ino = stat_of(f, 0, "usr/lib/f1").st_ino;

	assert_int_equal(vu_claim(vu_pool_claims(sharer), ino), 0);
	assert_int_equal(farm_unmerge(f, &stats), 0);
	assert_int_equal(stats.failed, f->n - 1);
	assert_true(immutable(f, 0, "usr/lib/f1"));
	assert_false(immutable(f, 0, "usr/lib/f2"));
	vu_claim_release(vu_pool_claims(sharer), ino);
	assert_int_equal(farm_unmerge(f, &stats), 0);
	assert_int_equal(stats.failed, 0);
	assert_false(immutable(f, 0, "usr/lib/f1"));
	assert_int_equal(vu_claim(vu_pool_claims(sharer), ino), 0);
}

/* An object in somebody's moment is not one that was left; when he is gone it is. */
static void recovery_keeps_off(struct farm *f)
{
	struct vu_recover_stats stats;

	unify(f);
	uint64_t ino = stat_of(f, 0, "usr/lib/f1").st_ino;
	char p[256];

	guest_path(f, 0, "usr/lib/f1", p);
	int fd = open(p, O_RDONLY | O_CLOEXEC);

	assert_int_equal(vu_claim(vu_pool_claims(sharer), ino), 0);
	assert_int_equal(vu_iattr_set_immutable(fd, false), 0);
	assert_int_equal(vu_recover_is_needed(f->pool), 0);
	stats = farm_recover(f, false);
	assert_int_equal(stats.reflagged, 0);
	assert_false(immutable(f, 0, "usr/lib/f1"));
	sharer = vu_pool_close(sharer);
	assert_int_equal(vu_recover_is_needed(f->pool), 1);
	stats = farm_recover(f, false);
	assert_int_equal(stats.reflagged, 1);
	assert_true(immutable(f, 0, "usr/lib/f1"));
	close(fd);
}

/* The same with a stage directory and a journal. */
static void slots(struct farm *f)
{
	struct vu_recover_stats stats;
	char p[300];

	unify(f);
	const struct vu_claims *claims = vu_pool_claims(sharer);
	struct vu_journal j;

	assert_int_equal(vu_claim_slot(claims, VU_SLOT_SHARED), 0);
	assert_int_equal(vu_claim_slot(vu_pool_claims(f->pool), VU_SLOT_SHARED), VU_CLAIMED);
	assert_int_equal(vu_journal_open(sharer, VU_SLOT_SHARED, &j), 0);
	close(vu_pool_stage_open(sharer, VU_SLOT_SHARED));
	snprintf(p, sizeof(p), "%s/.vunify/stage/%u/c-1", f->fs->mnt, VU_SLOT_SHARED);
	put_text(p, "unfinished");
	assert_int_equal(sh("echo line >>%s/.vunify/journal.%u", f->fs->mnt, VU_SLOT_SHARED), 0);
	assert_int_equal(vu_recover_is_needed(f->pool), 0);
	farm_recover(f, false);
	assert_int_equal(
		sh("test -e %s && test -s %s/.vunify/journal.%u", p, f->fs->mnt, VU_SLOT_SHARED),
		0);
	j.written = true;
	vu_journal_close(sharer, VU_SLOT_SHARED, &j);
	sharer = vu_pool_close(sharer);
	assert_int_equal(vu_recover_is_needed(f->pool), 1);
	stats = farm_recover(f, true);
	assert_int_equal(stats.names_removed, 1);
	stats = farm_recover(f, false);
	assert_int_equal(stats.names_removed, 1);
	assert_int_equal(sh("test ! -e %s && test ! -e %s/.vunify/journal.%u", p, f->fs->mnt,
			    VU_SLOT_SHARED),
			 0);
	assert_int_equal(vu_recover_is_needed(f->pool), 0);
	assert_int_equal(vu_claim_slot(vu_pool_claims(f->pool), VU_SLOT_SHARED), 0);
}

static void claim_one(void *arg, const struct vu_event *e)
{
	int *free = arg;

	(void)e;
	*free = 0;
	for (unsigned slot = VU_SLOT_SHARED; slot < VU_SLOT_MAX; slot++)
		*free += !vu_claim_slot(vu_pool_claims(sharer), slot);
	for (unsigned slot = VU_SLOT_SHARED; slot < VU_SLOT_MAX; slot++)
		vu_claim_slot_release(vu_pool_claims(sharer), slot);
}

/* Whoever begins to break links while a recovery works finds slots; but not the one that it looks after. */
static void slots_meanwhile(struct farm *f)
{
	int free = -1;
	const struct vu_sink sink = {claim_one, &free};
	struct vu_recover_stats stats = {0};

	unify(f);
	assert_int_equal(sh("mkdir %s/.vunify/stage/%u && echo unfinished >%s/.vunify/stage/%u/c-1",
			    f->fs->mnt, VU_SLOT_SHARED, f->fs->mnt, VU_SLOT_SHARED),
			 0);
	assert_int_equal(
		vu_recover_run(f->pool,
			       &(struct vu_recover_env){.max_xattr_bytes = 65536, .sink = &sink},
			       &stats),
		0);
	assert_int_equal(stats.names_removed, 1);
	assert_int_equal(free, VU_SLOT_MAX - VU_SLOT_SHARED - 1);
}

/* A pool that somebody shares stays, empty as it is. One that is gone cannot be shared. */
static void dissolve(struct farm *f)
{
	struct vu_breaker_stats stats;

	unify(f);
	assert_int_equal(farm_unmerge(f, &stats), 0);
	assert_int_equal(vu_pool_dissolve(f->pool), 0);
	assert_int_equal(sh("test -d %s/.vunify/objects", f->fs->mnt), 0);
	sharer = vu_pool_close(sharer);
	assert_int_equal(vu_pool_dissolve(f->pool), 1);
	assert_int_equal(open_sharer(f), VU_POOL_MISSING);
	assert_int_equal(sh("test ! -e %s/.vunify", f->fs->mnt), 0);
}

struct opening {
	const struct farm *f;
	_Atomic bool open;
};

static void *open_later(void *arg)
{
	struct opening *o = arg;

	if (!open_sharer(o->f))
		o->open = true;
	return NULL;
}

/* A batch that claims nothing is waited for, and behind it all are claimed. */
static void unclaimed_batch(struct farm *f)
{
	struct vu_claims *claims = vu_pool_claims(f->pool);
	struct opening o = {.f = f};
	pthread_t thread;

	assert_int_equal(vu_claims_begin(claims), 0);
	assert_int_equal(vu_claims_begin(claims), 0);
	assert_false(vu_claims_are_shared(claims));
	pthread_create(&thread, NULL, open_later, &o);
	for (int i = 0; i < 1000 && !vu_claims_are_shared(claims); i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_true(vu_claims_are_shared(claims));
	/* the next one knows of it, and does not keep it from beginning */
	assert_int_equal(vu_claims_begin(claims), 1);
	vu_claims_end(claims);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	assert_false(o.open);
	vu_claims_end(claims);
	pthread_join(thread, NULL);
	assert_true(o.open);
	assert_int_equal(vu_claims_begin(claims), 1);
	sharer = vu_pool_close(sharer);
	assert_int_equal(vu_claims_begin(claims), 0);
	vu_claims_end(claims);
}

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST_ON(xfs, linker_keeps_off),	  TEST_ON(xfs, breaker_keeps_off),
		TEST_ON(xfs, recovery_keeps_off), TEST_ON(xfs, slots),
		TEST_ON(xfs, dissolve),		  TEST_ON(xfs, unclaimed_batch),
		TEST_ON(xfs, several_names),	  TEST_ON(xfs, slots_meanwhile),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].teardown_func = end;
	return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
