/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest does to a path again while vunify puts back what the guest did there before. Each of the
 * exchanges ends in this program (--wrap=vu_exchange), which then acts as the guest, before it or behind
 * it; tests/race/instant.bats stops a real run for the first of them. Whatever the guest put to the path
 * last is there in the end, but where it never rests; and nothing that it has had there, and has not
 * removed itself, is lost.
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
#include <sys/wait.h>
#include <unistd.h>

#include "fs/exchange.h"
#include "link-farm.h"
#include "opener.h"

#define F0 "usr/lib/f0"
#define TWIN "usr/twin" /* another name of it */
#define F1 "usr/lib/f1"
#define CONTENT1 "content of 1, longer than inline\n"
#define WRITTEN1 "WRITTEN of 1, longer than inline\n"

/* What the guest does; n counts the exchanges at this path, from 1. */
static struct {
	unsigned g;
	uint64_t dir; /* of the path: the inode of its directory */
	const char *base;
	unsigned n;
	void (*before)(unsigned n);
	void (*behind)(unsigned n);
} guest;

int __real_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b);
int __wrap_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b);

int __wrap_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b)
{
	struct stat st;
	bool here = guest.base && !strcmp(b, guest.base) && !fstat(dirfd_b, &st) &&
		    st.st_ino == guest.dir;
	int r;

	if (here && ++guest.n && guest.before)
		guest.before(guest.n);
	r = __real_vu_exchange(dirfd_a, a, dirfd_b, b);
	if (here && guest.behind)
		guest.behind(guest.n);
	return r;
}

/* Beside each exchange at this path of the guest. */
static void act_at(unsigned g, const char *dir, const char *base, void (*before)(unsigned n),
		   void (*behind)(unsigned n))
{
	guest.g = g;
	guest.dir = stat_of(&now, g, dir).st_ino;
	guest.base = base;
	guest.n = 0;
	guest.before = before;
	guest.behind = behind;
}

/* Called in vunify's threads, where no assertion may fail. */
static void put_new(const char *rel, const char *text)
{
	(void)sh("cd %s/g%u && echo '%s' >new && mv -f new %s", now.fs->mnt, guest.g, text, rel);
}

static void remove_path(const char *rel)
{
	(void)sh("rm -f %s/g%u/%s", now.fs->mnt, guest.g, rel);
}

static bool has(unsigned g, const char *rel, const char *want)
{
	char p[256];

	guest_path(&now, g, rel, p);
	char *text = get_text(p);
	bool is = text && !strcmp(text, want);

	if (text && !is)
		print_message("%s: %s\n", rel, text);
	free(text);
	return is;
}

static bool is_rescued(const char *text)
{
	return !sh("grep -qxF '%s' %s/.vunify/rescued/* 2>/dev/null", text, now.fs->mnt);
}

/* Nothing of it is left behind, and the guests go on. */
static void all_is_well(void)
{
	struct vu_breaker_stats b;

	guest.base = NULL;
	stage_is_empty(&now);
	assert_int_equal(farm_recover(&now, false).damaged, 0);
	farm_scan(&now);
	assert_int_equal(farm_link(&now), 0);
	assert_int_equal(seen.n[VU_EVENT_WARN] + seen.n[VU_EVENT_DAMAGE], 0);
	assert_int_equal(farm_unmerge(&now, &b), 0);
	assert_int_equal(n_objects(&now), 0);
}

/* ---- scan ---- */

static void link_beside(const char *dir, const char *base, void (*before)(unsigned n),
			void (*behind)(unsigned n))
{
	populate(&now, 3);
	farm_scan(&now);
	act_at(3, dir, base, before, behind);
	assert_int_equal(farm_link(&now), 0);
	assert_true(guest.n > 1);
	assert_int_equal(now.stats.failed, 1);
	assert_true(has(0, F1, CONTENT1) && has(1, F1, CONTENT1));
}

static void replaces_twice(unsigned n)
{
	if (n <= 2)
		put_new(F1, n == 1 ? "first" : "second");
}

/* A file that came out is put back, and by then there is a newer one: it stays. */
static void link_replaced_twice(struct farm *f)
{
	(void)f;
	link_beside("usr/lib", "f1", replaces_twice, NULL);
	assert_int_equal(guest.n, 3);
	assert_true(has(guest.g, F1, "second\n"));
	assert_int_equal(seen.n[VU_EVENT_WARN], 0);
	all_is_well();
}

/* The file that was just put back goes, and the next one gets its number, if the file system lets it. */
static void replaces_by_number(unsigned n)
{
	if (n < 3)
		put_new(F1, n == 1 ? "first" : "second");
	if (n == 3)
		(void)sh("cd %s/g%u && ino=$(stat -c %%i " F1 ") && rm -f " F1
			 " && for i in $(seq 64); do"
			 " echo third >n$i; [ \"$(stat -c %%i n$i)\" != \"$ino\" ] || break; done;"
			 " mv n$i " F1 "; rm -f n?*",
			 now.fs->mnt, guest.g);
}

/* A number that comes out once more is not the file that it was of before: nothing that is new is removed. */
static void replaced_by_number(struct farm *f)
{
	(void)f;
	link_beside("usr/lib", "f1", replaces_by_number, NULL);
	assert_true(has(guest.g, F1, "third\n"));
	assert_int_equal(seen.n[VU_EVENT_WARN], 0);
	all_is_well();
}

/* ext4 gives the lowest number that is free. */
static void link_replaced_by_number(void **state)
{
	(void)state;
	run_on("ext4", replaced_by_number);
}

static void replaces_and_removes(unsigned n)
{
	if (n == 1)
		put_new(F1, "first");
	else
		remove_path(F1);
}

/* What came out cannot be put back to a path that is none any more. It may have been renamed there. */
static void link_replaced_and_removed(struct farm *f)
{
	(void)f;
	link_beside("usr/lib", "f1", replaces_and_removes, NULL);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_true(is_rescued("first"));
	assert_false(has(guest.g, F1, "first\n"));
	all_is_well();
}

static void replaces_always(unsigned n)
{
	char text[32];

	snprintf(text, sizeof(text), "number %u", n);
	put_new(F1, text);
}

/* Who never rests is given up: one of his files is at the path, and one is put where it can be found. */
static void link_replaced_always(struct farm *f)
{
	char last[32];

	(void)f;
	link_beside("usr/lib", "f1", replaces_always, NULL);
	assert_int_equal(guest.n, 65);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	/* the last one that he put there, and the one before */
	snprintf(last, sizeof(last), "number %u", guest.n);
	assert_true(is_rescued(last));
	snprintf(last, sizeof(last), "number %u\n", guest.n - 1);
	assert_true(has(guest.g, F1, last));
	all_is_well();
}

/* The other name of the file has been exchanged already, and is put back too: its path is gone. */
static void removes_the_other(unsigned n)
{
	if (n == 1) {
		put_new(F0, "own");
		remove_path(TWIN);
	}
}

static void link_other_name_removed(struct farm *f)
{
	(void)f;
	populate(&now, 3);
	farm_scan(&now);
	act_at(3, "usr/lib", "f0", removes_the_other, NULL);
	assert_int_equal(farm_link(&now), 0);
	assert_int_equal(now.stats.failed, 1);
	assert_true(has(guest.g, F0, "own\n"));
	assert_false(has(guest.g, TWIN, "content of 0, longer than inline\n"));
	/* the content is what the others have: nothing is missing */
	assert_int_equal(seen.n[VU_EVENT_WARN], 0);
	assert_true(has(0, F0, "content of 0, longer than inline\n"));
	all_is_well();
}

static void opens_once(unsigned n)
{
	char path[256];

	if (n != 1)
		return;
	guest_path(&now, guest.g, F1, path);
	start_opener(path);
}

/* He waits for the lease on his private file, which just then leaves its path: it comes back. */
static void link_opened(struct farm *f)
{
	(void)f;
	link_beside("usr/lib", "f1", opens_once, NULL);
	assert_int_equal(opener_got(), 0);
	assert_true(has(guest.g, F1, WRITTEN1));
	assert_false(immutable(&now, guest.g, F1));
	all_is_well();
}

/* ---- unmerge ---- */

static void unmerge_beside(void (*before)(unsigned n), void (*behind)(unsigned n))
{
	struct vu_breaker_stats b;

	populate(&now, 3);
	farm_scan(&now);
	assert_int_equal(farm_link(&now), 0);
	act_at(1, "usr/lib", "f1", before, behind);
	assert_int_equal(farm_unmerge(&now, &b), 0);
	assert_true(guest.n > 1);
	for (unsigned g = 0; g < GUESTS; g++) {
		assert_true(g == guest.g || has(g, F1, CONTENT1));
		assert_true(g == guest.g || !immutable(&now, g, F1));
	}
}

/* An object's name can be replaced in a moment only: that is when this is. The last guest gets no copy. */
static void unmerge_replaced_twice(struct farm *f)
{
	(void)f;
	unmerge_beside(replaces_twice, NULL);
	assert_true(has(guest.g, F1, "second\n"));
	assert_int_equal(seen.n[VU_EVENT_WARN], 0);
	all_is_well();
}

static void unmerge_replaced_and_removed(struct farm *f)
{
	(void)f;
	unmerge_beside(replaces_and_removes, NULL);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_true(is_rescued("first"));
	all_is_well();
}

static void replaces_once(unsigned n)
{
	if (n == 1)
		put_new(F1, "first");
}

/* The copy is at the path, for that instant, and somebody opens it for writing: he gets the newer file. */
static void unmerge_replaced_and_opened(struct farm *f)
{
	(void)f;
	unmerge_beside(replaces_once, opens_once);
	assert_int_equal(opener_got(), 0);
	assert_true(has(guest.g, F1, "WRITTEN"));
	assert_int_equal(seen.n[VU_EVENT_WARN], 0);
	all_is_well();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_ON(xfs, link_replaced_twice),
		cmocka_unit_test_teardown(link_replaced_by_number, clean_up),
		TEST_ON(xfs, link_replaced_and_removed),
		TEST_ON(xfs, link_replaced_always),
		TEST_ON(xfs, link_other_name_removed),
		TEST_ON(xfs, link_opened),
		TEST_ON(xfs, unmerge_replaced_twice),
		TEST_ON(xfs, unmerge_replaced_and_removed),
		TEST_ON(xfs, unmerge_replaced_and_opened),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
