/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What recovery does with each kind of name that a killed linker can leave in the stage, and with what
 * the guest did to the path meanwhile: the table at the top of recover-stage.c. Runs that are killed leave
 * what they happen to leave; here each state is made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "stage-left.h"

/* ---- the linker's: the path has the object ---- */

static void superfluous(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	put_equal(f, ".vunify/stage/0/t-1", F1);
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	assert_int_equal(recover_both(f).names_removed, 1);
	assert_int_equal(stat_of(f, G, F1).st_ino, l.object_ino);
	is_settled(f);
}

static void newer(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	put_other(f, ".vunify/stage/0/t-1", "newer");
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	assert_int_equal(recover_both(f).names_restored, 1);
	has_text_at(f, "g3/" F1, "newer");
	assert_false(immutable(f, G, F1));
	assert_int_equal(stat_of(f, 0, F1).st_ino, l.object_ino);
	is_settled(f);
}

/* The journal has one line for each, with the fields apart by blanks. */
#define ODD "odd %41\nname \377 ="

static void newer_at_an_odd_path(struct farm *f)
{
	char path[PATH_LEN];

	for (unsigned g = 0; g < GUESTS; g++) {
		snprintf(path, sizeof(path), "g%u/%s", g, ODD);
		put_other(f, path, "what is at the odd path");
	}
	struct leaver l = leaver_of(f, ODD);

	put_other(f, ".vunify/stage/0/t-1", "newer");
	intend_link(&l, "0/t-1", ODD);
	leave(&l);
	assert_int_equal(recover_both(f).names_restored, 1);
	has_text_at(f, "g3/" ODD, "newer");
	is_settled(f);
}

/* It came out of the exchange instead of the file that was expected: newer, whatever it is. */
static void newer_and_equal(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	uint64_t ino;

	put_equal(f, ".vunify/stage/0/t-1", F1);
	ino = ino_of(f, ".vunify/stage/0/t-1");
	intend(&l, VU_JOURNAL_LINK, "0/t-1", F1, 1);
	leave(&l);
	assert_int_equal(recover_both(f).names_restored, 1);
	assert_int_equal(stat_of(f, G, F1).st_ino, ino);
	is_settled(f);
}

/* Equal, but it has one more name that was not exchanged yet: they stay one inode. */
static void one_name_of_two(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	uint64_t ino;

	put_equal(f, ".vunify/stage/0/t-1", F1);
	ino = ino_of(f, ".vunify/stage/0/t-1");
	assert_int_equal(sh("cd %s && ln .vunify/stage/0/t-1 g3/usr/more", f->fs->mnt), 0);
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	assert_int_equal(recover_both(f).names_restored, 1);
	assert_int_equal(stat_of(f, G, F1).st_ino, ino);
	assert_int_equal(stat_of(f, G, "usr/more").st_ino, ino);
	is_settled(f);
}

static int opened = -EBADF; /* somebody has the last name of the two open for writing, */
static bool opens;	    /* as soon as the first of them is gone */

int __real_unlinkat(int dirfd, const char *name, int flags);
int __wrap_unlinkat(int dirfd, const char *name, int flags);

int __wrap_unlinkat(int dirfd, const char *name, int flags)
{
	int r = __real_unlinkat(dirfd, name, flags);

	if (!r && opens && !strncmp(name, "t-", 2)) {
		opens = false;
		opened = openat(dirfd, strcmp(name, "t-1") ? "t-1" : "t-2", O_WRONLY | O_CLOEXEC);
	}
	return r;
}

/* Both have moved. Whoever opens the file between their removals does not tear them apart. */
static void opened_between(struct farm *f)
{
	struct leaver l = leaver_of(f, F0);
	struct vu_recover_stats s;

	put_equal(f, ".vunify/stage/0/t-1", F0);
	assert_int_equal(sh("cd %s/.vunify/stage/0 && ln t-1 t-2", f->fs->mnt), 0);
	intend_link(&l, "0/t-1", F0);
	intend_link(&l, "0/t-2", TWIN);
	leave(&l);
	assert_int_equal(farm_recover(f, true).names_removed, 2);
	opens = true;
	s = farm_recover(f, false);
	assert_false(opens);
	assert_true(opened >= 0);
	close(opened);
	assert_int_equal(stat_of(f, G, F0).st_ino, l.object_ino);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, l.object_ino);
	assert_int_equal(s.names_removed, 2);
	assert_int_equal(s.names_restored, 0);
	is_settled(f);
}

/* Who has it open may be about to write to it. */
static void open_for_writing(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	char path[PATH_LEN];

	put_equal(f, ".vunify/stage/0/t-1", F1);
	path_of(f, ".vunify/stage/0/t-1", path);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	intend_link(&l, "0/t-1", F1);
	leave(&l);
	assert_int_equal(recover_both(f).names_restored, 1);
	assert_int_equal(pwrite(fd, "WRITTEN", 7, 0), 7);
	close(fd);
	has_text_at(f, "g3/" F1, "WRITTEN of 1, longer than inline\n");
	has_text_at(f, "g0/" F1, "content of 1, longer than inline\n");
	is_settled(f);
}

/* Where keys have no mtime it may differ; the guest has agreed to lose it. */
static void another_mtime(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	const struct vu_guest *g = &f->guests.v[G];

	put_equal(f, ".vunify/stage/0/t-1", F1);
	assert_int_equal(sh("touch -d @1500000000 %s/.vunify/stage/0/t-1", f->fs->mnt), 0);
	struct vu_intent in = {.kind = VU_JOURNAL_LINK,
			       .tmp = "0/t-1",
			       .key = l.key,
			       .object_ino = l.object_ino,
			       .ino = ino_of(f, ".vunify/stage/0/t-1"),
			       .root_ino = g->ino,
			       .root = g->path,
			       .path = F1,
			       .domain = ""};

	assert_int_equal(vu_journal_add(&l.journal, &in), 0);
	leave(&l);
	assert_int_equal(recover_both(f).names_removed, 1);
	assert_int_equal(stat_of(f, G, F1).st_ino, l.object_ino);
	is_settled(f);
}

/* The object is no good any more: what it replaced is all that the guest has. */
static void object_damaged(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	struct vu_recover_stats s;

	put_equal(f, ".vunify/stage/0/t-1", F1);
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	assert_int_equal(sh("cd %s/g0 && chattr -i " F1 " && chmod 600 " F1, f->fs->mnt), 0);
	s = farm_recover(f, false);
	assert_int_equal(s.damaged, 1);
	assert_int_equal(s.left, 1);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_true(is_there(f, ".vunify/stage/0/t-1"));
	/* and when it is as it was again, all is well */
	assert_int_equal(sh("cd %s/g0 && chmod 644 " F1, f->fs->mnt), 0);
	s = farm_recover(f, false);
	assert_int_equal(s.reflagged, 1);
	assert_int_equal(s.names_removed, 1);
	is_settled(f);
}

/* ---- the linker's: the guest has changed the path meanwhile ---- */

static void replaced(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	put_equal(f, ".vunify/stage/0/t-1", F1);
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	put_other(f, "g3/usr/new", "own");
	assert_int_equal(sh("cd %s/g3 && chattr -i " F1 " && mv -f usr/new " F1 " && chattr +i "
			    "../g0/" F1,
			    f->fs->mnt),
			 0);
	assert_int_equal(recover_both(f).names_removed, 1);
	has_text_at(f, "g3/" F1, "own");
	is_settled(f);
}

static void replaced_and_newer(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	put_other(f, ".vunify/stage/0/t-1", "newer");
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	put_other(f, "g3/usr/new", "own");
	assert_int_equal(sh("cd %s/g3 && chattr -i " F1 " && mv -f usr/new " F1 " && chattr +i "
			    "../g0/" F1,
			    f->fs->mnt),
			 0);
	assert_int_equal(recover_both(f).rescued, 1);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	has_text_at(f, "g3/" F1, "own");
	assert_true(rescued_has(f, "newer"));
	is_settled(f);
}

/* The directory of the path is none any more, or leads out of the guest: nothing is there. */
static void directory_replaced(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	put_other(f, ".vunify/stage/0/t-1", "newer");
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	assert_int_equal(sh("cd %s/g3 && mv usr/lib usr/moved && ln -s ../../g0/usr/lib usr/lib",
			    f->fs->mnt),
			 0);
	assert_int_equal(recover_both(f).rescued, 1);
	assert_true(rescued_has(f, "newer"));
	assert_int_equal(stat_of(f, 0, F1).st_ino, l.object_ino);
	is_settled(f);
}

static void object_gone(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	put_equal(f, ".vunify/stage/0/t-1", F1);
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	assert_int_equal(sh("cd %s && chattr -i g0/" F1 " && find . -samefile g0/" F1 " -delete",
			    f->fs->mnt),
			 0);
	assert_int_equal(recover_both(f).rescued, 1);
	assert_true(rescued_has(f, "content of 1, longer than inline"));
	is_settled(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_ON(xfs, superfluous),	    TEST_ON(xfs, newer),
		TEST_ON(xfs, newer_at_an_odd_path), TEST_ON(xfs, newer_and_equal),
		TEST_ON(xfs, one_name_of_two),	    TEST_ON(xfs, opened_between),
		TEST_ON(xfs, open_for_writing),	    TEST_ON(xfs, another_mtime),
		TEST_ON(xfs, object_damaged),	    TEST_ON(xfs, replaced),
		TEST_ON(xfs, replaced_and_newer),   TEST_ON(xfs, directory_replaced),
		TEST_ON(xfs, object_gone),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
