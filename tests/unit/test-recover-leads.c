/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What recovery does with names that a killed propagate was leading over to another object: here the two that g3
 * has of f0 were to become names of f1's object. See test-recover-links.c.
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
#include <unistd.h>

#include "stage-left.h"

#define TMP(n) "0/c-00000000000000ab-" n

/* Names of f0's object in g3 become names of f1's, as far as they have moved; another one that it has is `of`. */
static void move_names_of(const struct farm *f, const char *of, const char *names)
{
	assert_int_equal(sh("cd %s && chattr -i %s g3/" F1 " && for n in %s; do "
			    "ln -f g3/" F1 " g3/$n || exit; done; chattr +i %s g3/" F1,
			    f->fs->mnt, of, names, of),
			 0);
}

static void move_names(const struct farm *f, const char *names)
{
	move_names_of(f, "g0/" F0, names);
}

static struct leaver leading(struct farm *f, const char *moved)
{
	struct leaver l = leaver_of(f, F1);
	uint64_t old = stat_of(f, G, F0).st_ino;

	move_names(f, moved);
	intend(&l, VU_JOURNAL_LEAD, TMP("f"), F0, old);
	intend(&l, VU_JOURNAL_LEAD, TMP("10"), TWIN, old);
	leave(&l);
	return l;
}

static void others_follow(struct farm *f)
{
	struct leaver l = leading(f, F0);
	uint64_t old = stat_of(f, 0, F0).st_ino;

	assert_int_equal(vu_recover_is_needed(f->pool), 1);
	assert_int_equal(recover_both(f).names_restored, 1);
	assert_int_equal(stat_of(f, G, F0).st_ino, l.object_ino);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, l.object_ino);
	assert_int_equal(stat_of(f, 0, TWIN).st_ino, old);
	assert_true(immutable(f, G, TWIN) && immutable(f, 0, F0));
	is_settled(f);
}

/* Nobody else has the old object: it goes with its last name. */
static void last_name_of_the_old_object(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	uint64_t old = stat_of(f, G, F0).st_ino;
	unsigned n = n_objects(f);

	for (unsigned g = 0; g < G; g++)
		assert_int_equal(sh("cd %s && chattr -i g3/" F0 " && rm g%u/" F0 " g%u/" TWIN
				    " && chattr +i g3/" F0,
				    f->fs->mnt, g, g),
				 0);
	move_names_of(f, "g3/" F0, TWIN);
	intend(&l, VU_JOURNAL_LEAD, TMP("0"), F0, old);
	intend(&l, VU_JOURNAL_LEAD, TMP("1"), TWIN, old);
	leave(&l);
	assert_int_equal(recover_both(f).names_restored, 1);
	assert_int_equal(stat_of(f, G, F0).st_ino, l.object_ino);
	assert_int_equal(n_objects(f), n - 1);
	is_settled(f);
}

static void none_or_all_have_moved(struct farm *f)
{
	struct leaver l = leading(f, "");
	struct vu_recover_stats s = farm_recover(f, false);
	uint64_t old = stat_of(f, 0, F0).st_ino;

	assert_int_equal(s.names_restored + s.left, 0);
	assert_int_equal(stat_of(f, G, F0).st_ino, old);
	assert_int_equal(vu_recover_is_needed(f->pool), 0);

	move_names(f, F0 " " TWIN);
	assert_int_equal(vu_journal_open(f->pool, 0, &l.journal), 0);
	intend(&l, VU_JOURNAL_LEAD, TMP("f"), F0, old);
	intend(&l, VU_JOURNAL_LEAD, TMP("10"), TWIN, old);
	leave(&l);
	s = farm_recover(f, false);
	assert_int_equal(s.names_restored + s.left, 0);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, l.object_ino);
	is_settled(f);
}

/* The guest has replaced one of them itself, and it is left alone. */
static void the_guests_own(struct farm *f)
{
	leading(f, F0);
	put_other(f, "g3/usr/new", "own");
	assert_int_equal(sh("cd %s && chattr -i g0/" F0 " && mv -f g3/usr/new g3/" TWIN
			    " && chattr +i g0/" F0,
			    f->fs->mnt),
			 0);
	assert_int_equal(farm_recover(f, false).names_restored, 0);
	has_text_at(f, "g3/" TWIN, "own");
	is_settled(f);
}

/* Somebody has the object open for writing from before it was one: it waits. */
static void a_writer(struct farm *f)
{
	struct leaver l = leading(f, F0);
	char path[PATH_LEN];

	path_of(f, "g0/" F1, path);
	assert_int_equal(sh("chattr -i %s", path), 0);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(sh("chattr +i %s", path), 0);
	assert_int_equal(farm_recover(f, false).left, 1);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(vu_recover_is_needed(f->pool), 1);
	close(fd);
	assert_int_equal(recover_both(f).names_restored, 1);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, l.object_ino);
	is_settled(f);
}

/* Names of an object that is not what its name says get no more of them; that is told, and nothing waits. */
static void a_damaged_object(struct farm *f)
{
	leading(f, F0);
	uint64_t old = stat_of(f, 0, F0).st_ino;

	assert_int_equal(sh("cd %s && chattr -i g0/" F1 " && chmod 600 g0/" F1
			    " && chattr +i g0/" F1,
			    f->fs->mnt),
			 0);
	assert_int_equal(farm_recover(f, false).names_restored, 0);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, old);
	assert_int_equal(vu_recover_is_needed(f->pool), 0);
}

static void a_guest_that_is_not_known(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	uint64_t old = stat_of(f, G, F0).st_ino, root = f->guests.v[G].ino;

	move_names(f, F0);
	f->guests.v[G].ino = 1;
	intend(&l, VU_JOURNAL_LEAD, TMP("0"), F0, old);
	intend(&l, VU_JOURNAL_LEAD, TMP("1"), TWIN, old);
	leave(&l);
	f->guests.v[G].ino = root;
	assert_int_equal(farm_recover(f, false).left, 0);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, old);
	is_settled(f);
}

/* Lines that are not of one item: other numbers, or temporary names of another form. */
static void not_together(struct farm *f)
{
	struct leaver l = leaver_of(f, F1);
	uint64_t old = stat_of(f, G, F0).st_ino;

	move_names(f, F0);
	intend(&l, VU_JOURNAL_LEAD, TMP("0"), F0, old);
	intend(&l, VU_JOURNAL_LEAD, TMP("2"), TWIN, old);
	intend(&l, VU_JOURNAL_LEAD, "0/c-xyz", F0, old);
	intend(&l, VU_JOURNAL_LEAD, "0/c-xyz", TWIN, old);
	leave(&l);
	assert_int_equal(farm_recover(f, false).names_restored, 0);
	assert_int_equal(stat_of(f, G, TWIN).st_ino, old);
	is_settled(f);
}

ON_ALL(others_follow)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(others_follow),
		TEST_ON(xfs, last_name_of_the_old_object),
		TEST_ON(xfs, none_or_all_have_moved),
		TEST_ON(xfs, the_guests_own),
		TEST_ON(xfs, a_writer),
		TEST_ON(xfs, a_damaged_object),
		TEST_ON(xfs, a_guest_that_is_not_known),
		TEST_ON(xfs, not_together),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
