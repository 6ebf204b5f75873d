/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What recovery does with copies that a killed unmerge left in the stage; with other names of objects
 * there; and with names of which nothing, or nothing useful, is known. See test-recover-links.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stage-left.h"

/* ---- the breaker's ---- */

static void copy_not_needed(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	put_equal(f, ".vunify/stage/0/c-1", F1);
	intend(&l, VU_JOURNAL_COPY, "0/c-1", F1, ino_of(f, ".vunify/stage/0/c-1"));
	leave(&l);
	assert_int_equal(recover_both(f).names_removed, 1);
	assert_int_equal(stat_of(f, G, F1).st_ino, l.object_ino);
	is_settled(f);
}

/* The copy is at one of two names: the other one follows. */
static uint64_t move_one_name(struct leaver *l)
{
	const struct farm *f = l->f;
	uint64_t ino;

	put_equal(f, "copy", F0);
	ino = ino_of(f, "copy");
	assert_int_equal(sh("cd %s && chattr -i g0/" F0 " && ln copy .vunify/stage/0/c-2 && "
			    "mv -f copy g3/" F0 " && chattr +i g0/" F0,
			    f->fs->mnt),
			 0);
	intend(l, VU_JOURNAL_COPY, "0/c-2", TWIN, ino);
	leave(l);
	return ino;
}

static void copy_of_two_names(struct farm *f)
{
	struct leaver l = leaver_of(f, F0);
	uint64_t ino = move_one_name(&l);

	assert_int_equal(recover_both(f).names_restored, 1);
	assert_int_equal(stat_of(f, G, F0).st_ino, ino);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, ino);
	assert_int_equal(stat_of(f, G, TWIN).st_nlink, 2);
	assert_int_equal(stat_of(f, 0, F0).st_ino, l.object_ino);
	is_settled(f);
}

static void copy_of_a_damaged_object(struct farm *f)
{
	struct leaver l = leaver_of(f, F0);
	uint64_t ino = move_one_name(&l);
	struct vu_recover_stats s;

	assert_int_equal(sh("cd %s && chattr -i g0/" F0 " && chmod 600 g0/" F0, f->fs->mnt), 0);
	s = farm_recover(f, false);
	assert_int_equal(s.damaged, 1);
	assert_int_equal(s.names_removed, 1);
	assert_int_equal(stat_of(f, G, F0).st_ino, ino);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, l.object_ino);
}

/* The guest put something newer to the path just before the copy came there: the copy makes way. */
static uint64_t copy_in_the_way(struct leaver *l, const char *copy)
{
	const struct farm *f = l->f;
	uint64_t ino;

	if (copy)
		put_other(f, "copy", copy);
	else
		put_equal(f, "copy", F1);
	ino = ino_of(f, "copy");
	put_other(f, ".vunify/stage/0/c-1", "own");
	assert_int_equal(sh("cd %s && chattr -i g0/" F1 " && mv -f copy g3/" F1
			    " && chattr +i g0/" F1,
			    f->fs->mnt),
			 0);
	intend(l, VU_JOURNAL_COPY, "0/c-1", F1, ino);
	leave(l);
	return ino;
}

static void copy_over_a_newer_file(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	struct vu_recover_stats s;

	copy_in_the_way(&l, NULL);
	assert_int_equal(farm_recover(f, true).names_restored, 1);
	s = farm_recover(f, false);
	assert_int_equal(s.names_restored, 1);
	assert_int_equal(s.names_removed, 1);
	has_text_at(f, "g3/" F1, "own");
	is_settled(f);
}

/* And the guest has written to the copy meanwhile. */
static void written_copy_over_a_newer_file(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	struct vu_recover_stats s;

	copy_in_the_way(&l, "written");
	s = farm_recover(f, false);
	assert_int_equal(s.names_restored, 1);
	assert_int_equal(s.rescued, 1);
	has_text_at(f, "g3/" F1, "own");
	assert_true(rescued_has(f, "written"));
	is_settled(f);
}

/* Neither the copy nor the object is at the path: two files, and one place. */
static void copy_and_two_newer_files(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	copy_in_the_way(&l, NULL);
	put_other(f, "g3/usr/new", "newest");
	assert_int_equal(sh("mv -f %s/g3/usr/new %s/g3/" F1, f->fs->mnt, f->fs->mnt), 0);
	assert_int_equal(recover_both(f).rescued, 1);
	has_text_at(f, "g3/" F1, "newest");
	assert_true(rescued_has(f, "own"));
	is_settled(f);
}

/* The guest has removed the copy since, and the number of its inode is another file's, which is the newest. */
static void copy_whose_number_is_used_again(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	uint64_t ino = copy_in_the_way(&l, NULL);
	char name[64] = "";

	usleep(20000); /* a tick of the clock that files are stamped with */
	assert_int_equal(sh("rm %s/g3/" F1, f->fs->mnt), 0);
	for (int i = 0; !*name || (i < 2000 && ino_of(f, name) != ino); i++) {
		snprintf(name, sizeof(name), "g3/usr/n%d", i);
		put_other(f, name, "newest");
	}
	assert_int_equal(ino_of(f, name), ino);
	assert_int_equal(sh("mv %s/%s %s/g3/" F1, f->fs->mnt, name, f->fs->mnt), 0);
	assert_int_equal(recover_both(f).rescued, 1);
	has_text_at(f, "g3/" F1, "newest");
	assert_true(rescued_has(f, "own"));
	is_settled(f);
}

/* ---- names without an intent, or of a guest that is not there ---- */

static void no_intent(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	leave(&l);
	put_other(f, ".vunify/stage/0/t-1", "whose?");
	assert_int_equal(recover_both(f).rescued, 1);
	assert_true(rescued_has(f, "whose?"));
	close(vu_pool_stage_open(f->pool, 0));
	put_other(f, ".vunify/stage/0/c-1", "half a copy");
	assert_int_equal(recover_both(f).names_removed, 1);
	put_other(f, ".vunify/stage/p-1", "of the probe");
	assert_int_equal(sh("chattr +i %s/.vunify/stage/p-1", f->fs->mnt), 0);
	assert_int_equal(recover_both(f).names_removed, 1);
	is_settled(f);
}

static void guest_not_known(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	uint64_t root = f->guests.v[G].ino;

	put_other(f, ".vunify/stage/0/t-1", "newer");
	f->guests.v[G].ino = 1;
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	f->guests.v[G].ino = root;
	assert_int_equal(recover_both(f).left, 1);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	has_text_at(f, ".vunify/stage/0/t-1", "newer");
	assert_int_equal(vu_recover_is_needed(f->pool), 1);
}

/* A root of another file system that has the inode number of the guest's. */
static int other_root(void *arg, uint64_t ino, const char *path)
{
	(void)ino;
	(void)path;
	return *(int *)arg;
}

static void guest_on_another_disk(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	int root = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct vu_recover_env env = {
		.root = other_root, .root_arg = &root, .max_xattr_bytes = 65536};
	struct vu_recover_stats s = {0};
	struct stat st;

	assert_int_equal(fstat(root, &st), 0);
	put_other(f, ".vunify/stage/0/t-1", "newer");
	f->guests.v[G].ino = st.st_ino;
	intend_link(&l, "0/t-1", F1);
	leave(&l);
	assert_int_equal(vu_recover_run(f->pool, &env, &s), 0);
	close(root);
	assert_int_equal(s.left, 1);
	has_text_at(f, ".vunify/stage/0/t-1", "newer");
}

/* Lines that were cut off, or are no lines of a journal, say nothing: then nobody knows whose it is. */
static void bad_journal(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	char good[1024], path[PATH_LEN];
	static const char *const bad[] = {"", "link", "move 0/t-1", "link ../t-1 x 1 1 1 1 = = ="};

	intend(&l, VU_JOURNAL_LINK, "0/t-1", F1, 7);
	leave(&l);
	path_of(f, ".vunify/journal", path);
	char *text = get_text(path);

	assert_true(strlen(text) > 100 && strlen(text) < sizeof(good) - 100);
	for (unsigned i = 0; i < 9; i++) {
		char *eq = NULL;

		strcpy(good, text);
		eq = strchr(good, '=');
		if (i < 4)
			snprintf(good, sizeof(good), "%s\n", bad[i]);
		else if (i == 4)
			good[strlen(good) - 1] = '1'; /* the line goes on */
		else if (i == 5)
			*strrchr(good, '=') = '-'; /* a text that is none */
		else if (i == 6)
			strcpy(strrchr(good, '='), "=%4\n"); /* half a byte */
		else if (i == 7)
			strcpy(strrchr(good, '='), "=%zz\n"); /* no byte */
		else
			eq[-2] = 'x'; /* no number */
		put_text(path, good);
		put_other(f, ".vunify/stage/0/t-1", "whose?");
		assert_int_equal(recover_both(f).rescued, 1);
		close(vu_pool_stage_open(f->pool, 0));
	}
	put_text(path, text);
	put_other(f, ".vunify/stage/0/t-1", "the guest's");
	assert_int_equal(recover_both(f).names_restored, 1);
	has_text_at(f, "g3/" F1, "the guest's");
	free(text);
	is_settled(f);
}

/* ---- names of objects ---- */

static void object_name(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);

	leave(&l);
	assert_int_equal(sh("cd %s && chattr -i g0/" F1 " && ln g0/" F1
			    " .vunify/stage/0/t-1 && chattr +i g0/" F1,
			    f->fs->mnt),
			 0);
	assert_int_equal(recover_both(f).names_removed, 1);
	assert_int_equal(stat_of(f, 0, F1).st_nlink, 5);
	assert_true(immutable(f, 0, F1));
	is_settled(f);
}

/* Somebody has the object open for writing from before it was one: it cannot be had for a moment. */
static void object_name_and_a_writer(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	char path[PATH_LEN];

	leave(&l);
	path_of(f, "g0/" F1, path);
	assert_int_equal(
		sh("cd %s && chattr -i g0/" F1 " && ln g0/" F1 " .vunify/stage/0/t-1", f->fs->mnt),
		0);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(sh("chattr +i %s", path), 0);
	assert_int_equal(farm_recover(f, false).left, 1);
	assert_true(immutable(f, 0, F1));
	assert_int_equal(stat_of(f, 0, F1).st_nlink, 6);
	close(fd);
	assert_int_equal(recover_both(f).names_removed, 1);
	is_settled(f);
}

/* One that was changed while it had no flag needs no moment to lose a name. */
static void damaged_object_name(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	struct vu_recover_stats s;

	leave(&l);
	assert_int_equal(sh("cd %s && chattr -i g0/" F1 " && ln g0/" F1
			    " .vunify/stage/0/t-1 && chmod 600 g0/" F1,
			    f->fs->mnt),
			 0);
	s = farm_recover(f, false);
	assert_int_equal(s.damaged, 1);
	assert_int_equal(s.names_removed, 1);
	assert_false(is_there(f, ".vunify/stage/0/t-1"));
	assert_int_equal(stat_of(f, 0, F1).st_nlink, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_ON(xfs, copy_not_needed),
		TEST_ON(xfs, copy_of_two_names),
		TEST_ON(xfs, copy_of_a_damaged_object),
		TEST_ON(xfs, copy_over_a_newer_file),
		TEST_ON(xfs, written_copy_over_a_newer_file),
		TEST_ON(xfs, copy_and_two_newer_files),
		TEST_ON(ext4, copy_whose_number_is_used_again),
		TEST_ON(xfs, no_intent),
		TEST_ON(xfs, guest_not_known),
		TEST_ON(xfs, guest_on_another_disk),
		TEST_ON(xfs, bad_journal),
		TEST_ON(xfs, object_name),
		TEST_ON(xfs, object_name_and_a_writer),
		TEST_ON(xfs, damaged_object_name),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
