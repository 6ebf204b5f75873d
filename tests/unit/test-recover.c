/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What recovery does with objects of which less is left than a run would leave: one guest, or none; and
 * with who opens one for writing in the instant in which recovery looks at it. For that this program is
 * linked with --wrap=vu_identify.
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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link-farm.h"
#include "link/identify.h"
#include "opener.h"

#define F1 "usr/lib/f1"
#define CONTENT "content of 1, longer than inline\n"
#define CHANGED "WRITTEN of 1, longer than inline\n"

/* ---- who opens an object while recovery looks at it ---- */

static char opens[256]; /* that path, once; "": nobody does */
static bool takes_long; /* so long that the kernel lets him in before all has been read */

int __real_vu_identify(int fd, const struct vu_key *key, const char *const *domains,
		       const char *extra, size_t max_xattr_bytes, struct vu_stat *ret_st,
		       struct vu_attr *ret_attr);
int __wrap_vu_identify(int fd, const struct vu_key *key, const char *const *domains,
		       const char *extra, size_t max_xattr_bytes, struct vu_stat *ret_st,
		       struct vu_attr *ret_attr);

/* Called with the lease: he passes the permission check, and sleeps until it goes. */
int __wrap_vu_identify(int fd, const struct vu_key *key, const char *const *domains,
		       const char *extra, size_t max_xattr_bytes, struct vu_stat *ret_st,
		       struct vu_attr *ret_attr)
{
	if (*opens) {
		start_opener(opens);
		*opens = 0;
	}
	int r = __real_vu_identify(fd, key, domains, extra, max_xattr_bytes, ret_st, ret_attr);

	if (takes_long) {
		takes_long = false;
		fcntl(fd, F_SETLEASE, F_UNLCK); /* as after lease-break-time */
		assert_int_equal(opener_got(), 0);
	}
	return r;
}

/* ---- the objects ---- */

static void link_all(struct farm *f)
{
	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(n_objects(f), 3);
}

/* The object of f1 has lost its flag, and its names in all guests from this one on. */
static void unflag_and_remove(const struct farm *f, unsigned first)
{
	char p[256];

	guest_path(f, 0, F1, p);
	assert_int_equal(sh("chattr -i %s", p), 0);
	for (unsigned g = first; g < f->n; g++) {
		guest_path(f, g, F1, p);
		assert_int_equal(unlink(p), 0);
	}
}

static void has_text(const struct farm *f, unsigned g, const char *want)
{
	char p[256];

	guest_path(f, g, F1, p);
	char *text = get_text(p);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
}

/* The one guest that has it has changed it: it is that guest's file. */
static void changed_by_its_one_guest(struct farm *f)
{
	char p[256];

	link_all(f);
	unflag_and_remove(f, 1);
	guest_path(f, 0, F1, p);
	put_text(p, "changed");
	assert_int_equal(farm_recover(f, true).objects_given, 1);
	assert_int_equal(n_objects(f), 3);
	assert_int_equal(farm_recover(f, false).objects_given, 1);
	assert_int_equal(seen.n[VU_EVENT_WARN] + seen.n[VU_EVENT_DAMAGE], 0);
	assert_int_equal(n_objects(f), 2);
	assert_int_equal(stat_of(f, 0, F1).st_nlink, 1);
	has_text(f, 0, "changed");
	stage_is_empty(f);
}

static void without_guests(struct farm *f)
{
	link_all(f);
	unflag_and_remove(f, 0);
	assert_int_equal(farm_recover(f, true).names_removed, 1);
	assert_int_equal(n_objects(f), 3);
	assert_int_equal(farm_recover(f, false).names_removed, 1);
	assert_int_equal(n_objects(f), 2);
	stage_is_empty(f);
}

/* Who has it open for writing is the last who can know what is in it. */
static void without_guests_but_a_writer(struct farm *f)
{
	char p[256];

	link_all(f);
	unflag_and_remove(f, 1);
	guest_path(f, 0, F1, p);
	int fd = open(p, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(unlink(p), 0);
	assert_int_equal(farm_recover(f, false).names_removed, 0);
	assert_int_equal(n_objects(f), 3);
	close(fd);
	assert_int_equal(farm_recover(f, false).names_removed, 1);
	assert_int_equal(n_objects(f), 2);
}

/* He had passed the permission check before the flag was there: he is to pass it again. */
static void who_waits_meets_the_flag(struct farm *f)
{
	struct vu_recover_stats s;

	link_all(f);
	unflag_and_remove(f, 4);
	guest_path(f, 1, F1, opens);
	s = farm_recover(f, false);
	assert_int_equal(opener_got(), EPERM);
	assert_int_equal(s.reflagged, 1);
	assert_int_equal(s.damaged + s.slipped, 0);
	assert_true(immutable(f, 0, F1));
	has_text(f, 0, CONTENT);
	stage_is_empty(f);
}

/* Nobody can say any more what he has written over: but not that nothing was. */
static void who_was_let_in_meanwhile_is_seen(struct farm *f)
{
	struct vu_recover_stats s;

	link_all(f);
	unflag_and_remove(f, 4);
	guest_path(f, 1, F1, opens);
	takes_long = true;
	s = farm_recover(f, false);
	has_text(f, 0, CHANGED);
	assert_int_equal(s.reflagged, 1);
	assert_int_equal(s.damaged, 1);
	assert_int_equal(seen.n[VU_EVENT_DAMAGE], 1);
	assert_true(immutable(f, 0, F1));
	stage_is_empty(f);
}

/* Nobody but his guest has the object: he may. */
static void who_waits_gets_his_own_file(struct farm *f)
{
	struct vu_recover_stats s;

	link_all(f);
	unflag_and_remove(f, 1);
	guest_path(f, 0, F1, opens);
	s = farm_recover(f, false);
	assert_int_equal(opener_got(), 0);
	assert_int_equal(s.objects_given, 1);
	assert_int_equal(s.reflagged, 0);
	assert_int_equal(n_objects(f), 2);
	assert_false(immutable(f, 0, F1));
	has_text(f, 0, CHANGED);
	stage_is_empty(f);
}

ON_ALL(changed_by_its_one_guest)
ON_ALL(without_guests)
ON_ALL(without_guests_but_a_writer)
ON_ALL(who_waits_meets_the_flag)
ON_ALL(who_was_let_in_meanwhile_is_seen)
ON_ALL(who_waits_gets_his_own_file)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(changed_by_its_one_guest),	 TESTS(without_guests),
		TESTS(without_guests_but_a_writer),	 TESTS(who_waits_meets_the_flag),
		TESTS(who_was_let_in_meanwhile_is_seen), TESTS(who_waits_gets_his_own_file),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
