/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared extents instead of hard links, on files that change between the plan and the work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "link-farm.h"
#include "link/reflink.h"

#define FILE_BYTES 65536

/* f0 in each guest, of equal content; planned. */
static void plan_shares(struct farm *f)
{
	static char text[FILE_BYTES];
	char p[256];

	for (unsigned i = 0; i < FILE_BYTES; i++)
		text[i] = (char)(i % 251);
	for (unsigned g = 0; g < f->n; g++) {
		guest_path(f, g, "f0", p);
		put_file(p, text, sizeof(text));
	}
	sh("sync -f %s", f->fs->mnt);
	farm_scan(f);
	assert_int_equal(f->plan.n_objects, 1);
	assert_int_equal(f->plan.n_targets, 3);
}

static void share(struct farm *f)
{
	struct vu_sink sink = {on_event, &seen};
	struct vu_pool *pools[1] = {f->pool};
	struct vu_linker_env env = {
		.tree = f->t,
		.guests = &f->guests,
		.root_fds = f->roots,
		.pools = pools,
		.jobs = 1,
		.mtime_exact = true,
		.max_xattr_bytes = 65536,
		.sink = &sink,
	};

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(vu_reflink_run(&env, &f->plan, &f->stats), 0);
	sh("sync -f %s", f->fs->mnt);
}

static bool is_shared(const struct farm *f, unsigned g)
{
	char p[256];

	guest_path(f, g, "f0", p);
	return !sh("filefrag -v %s | grep -q shared", p);
}

/* Of which guests (a mask) the file is shared with another's. */
static unsigned shared(const struct farm *f)
{
	unsigned mask = 0;

	for (unsigned g = 0; g < f->n; g++)
		mask |= (unsigned)is_shared(f, g) << g;
	return mask;
}

static void change(const struct farm *f, unsigned g)
{
	char p[256];

	guest_path(f, g, "f0", p);
	assert_int_equal(sh("printf changed | dd of=%s conv=notrunc status=none", p), 0);
}

static void all_share(struct farm *f)
{
	plan_shares(f);
	share(f);
	assert_int_equal(f->stats.inodes, 3);
	assert_int_equal(f->stats.bytes, 3 * FILE_BYTES);
	assert_int_equal(f->stats.failed, 0);
	assert_int_equal(shared(f), 0xf);
	for (unsigned g = 1; g < 4; g++)
		assert_true(stat_of(f, g, "f0").st_ino != stat_of(f, 0, "f0").st_ino);
}

/* The file whose blocks the others were to get is not what it was: another one takes its place. */
static void first_has_changed(struct farm *f)
{
	plan_shares(f);
	change(f, 0);
	share(f);
	assert_int_equal(f->stats.failed, 1);
	assert_int_equal(f->stats.inodes, 2);
	assert_int_equal(shared(f), 0xe);
}

static void first_two_have_changed(struct farm *f)
{
	char p[256];

	plan_shares(f);
	change(f, 0);
	guest_path(f, 1, "f0", p);
	assert_int_equal(sh("rm %s && mkdir %s", p, p), 0);
	share(f);
	assert_int_equal(f->stats.failed, 2);
	assert_int_equal(f->stats.inodes, 1);
	guest_path(f, 1, "f0", p);
	assert_int_equal(sh("rmdir %s && touch %s", p, p), 0);
	assert_int_equal(shared(f), 0xc);
}

static void one_has_changed(struct farm *f)
{
	char p[256];

	plan_shares(f);
	change(f, 2);
	guest_path(f, 3, "f0", p);
	assert_int_equal(sh("mv %s %s.away", p, p), 0);
	share(f);
	assert_int_equal(f->stats.failed, 2);
	assert_int_equal(f->stats.inodes, 1);
	guest_path(f, 3, "f0", p);
	assert_int_equal(sh("mv %s.away %s", p, p), 0);
	assert_int_equal(shared(f), 0x3);
}

/* As if two contents had one digest: the kernel compares them, and what differs stays what it is. */
static void contents_differ(struct farm *f)
{
	uint32_t i;
	char p[256];

	plan_shares(f);
	change(f, 3);
	struct stat st = stat_of(f, 3, "f0");

	assert_true(vu_inomap_get(&f->objects, st.st_ino, &i));
	vu_tree_inode(f->t, i)->mtime_ns =
		(uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
	vu_tree_inode(f->t, i)->ctime_ns =
		(uint64_t)st.st_ctim.tv_sec * 1000000000 + (uint64_t)st.st_ctim.tv_nsec;
	share(f);
	assert_int_equal(f->stats.failed, 1);
	assert_int_equal(f->stats.inodes, 2);
	assert_int_equal(shared(f), 0x7);
	guest_path(f, 3, "f0", p);
	assert_int_equal(sh("grep -aq '^changed' %s", p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_ON(xfs, all_share),
		TEST_ON(btrfs, all_share),
		TEST_ON(xfs, first_has_changed),
		TEST_ON(btrfs, first_has_changed),
		TEST_ON(xfs, first_two_have_changed),
		TEST_ON(btrfs, first_two_have_changed),
		TEST_ON(xfs, one_has_changed),
		TEST_ON(btrfs, one_has_changed),
		TEST_ON(xfs, contents_differ),
		TEST_ON(btrfs, contents_differ),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
