/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a file becomes an object, or an object is taken for more files, when it is not what it was: changed
 * since the walk, or in the very instant. For that --wrap=vu_pool_object_link: the guest acts when the
 * file gets its name in the pool, which is behind all that was looked at before.
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

#include "link-farm.h"

#define F1 "usr/lib/f1"
#define CONTENT "content of 1, longer than inline\n"
#define WRITTEN "WRITTEN of 1, longer than inline\n"

static void (*act)(void); /* what the guest does at f1 of the first guest, once */
static uint64_t act_ino;

int __real_vu_pool_object_link(const struct vu_pool *p, const struct vu_key *key, int fd);
int __wrap_vu_pool_object_link(const struct vu_pool *p, const struct vu_key *key, int fd);

int __wrap_vu_pool_object_link(const struct vu_pool *p, const struct vu_key *key, int fd)
{
	struct stat st;

	if (act && !fstat(fd, &st) && st.st_ino == act_ino) {
		act();
		act = NULL;
	}
	return __real_vu_pool_object_link(p, key, fd);
}

static bool has(unsigned g, const char *want)
{
	char p[256];

	guest_path(&now, g, F1, p);
	char *text = get_text(p);
	bool is = text && !strcmp(text, want);

	free(text);
	return is;
}

/* ---- in the instant ---- */

static void link_while(void (*what)(void))
{
	populate(&now, 3);
	farm_scan(&now);
	act_ino = stat_of(&now, 0, F1).st_ino;
	act = what;
	assert_int_equal(farm_link(&now), 0);
	assert_null(act);
	assert_int_equal(now.stats.failed, 1);
	/* the others share another one */
	assert_false(immutable(&now, 0, F1));
	assert_true(immutable(&now, 1, F1));
	assert_true(stat_of(&now, 1, F1).st_ino == stat_of(&now, 3, F1).st_ino);
	assert_int_equal(stat_of(&now, 1, F1).st_nlink, 4);
	assert_int_equal(n_objects(&now), 3);
	assert_true(has(1, CONTENT));
	stage_is_empty(&now);
	assert_int_equal(farm_recover(&now, false).damaged, 0);
}

static void add_name(void)
{
	(void)sh("ln %s/g0/" F1 " %s/g0/more", now.fs->mnt, now.fs->mnt);
}

static void gets_a_name(struct farm *f)
{
	link_while(add_name);
	assert_true(stat_of(f, 0, "more").st_ino == act_ino);
	assert_int_equal(stat_of(f, 0, F1).st_nlink, 2);
}

static void change_mode(void)
{
	(void)sh("chmod 600 %s/g0/" F1, now.fs->mnt);
}

static void gets_a_mode(struct farm *f)
{
	link_while(change_mode);
	assert_int_equal(stat_of(f, 0, F1).st_mode & 07777, 0600);
	assert_int_equal(stat_of(f, 0, F1).st_nlink, 1);
}

/* Passes the permission check, and waits for the lease. */
static void open_it(void)
{
	char p[256];

	guest_path(&now, 0, F1, p);
	now_child = fork();
	if (!now_child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, ~0U, 0); /* or it would keep the lease that it waits for */
		int fd = open(p, O_WRONLY | O_CLOEXEC);

		_exit(fd < 0 ? errno : pwrite(fd, "WRITTEN", 7, 0) != 7);
	}
	for (int i = 0; i < 1000; i++) {
		if (!sh("grep -q 'BREAKER *WRITE %d ' /proc/locks", (int)now_child))
			break;
		usleep(1000);
	}
}

/* It stays his file, and he gets in. */
static void gets_a_writer(struct farm *f)
{
	int status = -1;

	(void)f;
	link_while(open_it);
	assert_int_equal(waitpid(now_child, &status, 0), now_child);
	now_child = 0;
	assert_int_equal(status, 0);
	assert_true(has(0, WRITTEN));
}

/* ---- objects that are there ---- */

/* Everything is linked; g3 has an equal file of its own again, which is planned to join. */
static void plan_to_join(struct farm *f)
{
	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(sh("cd %s && cp -p --preserve=all g3/" F1 " new && chattr -i g3/" F1
			    " && mv -f new g3/" F1 " && chattr +i g0/" F1,
			    f->fs->mnt),
			 0);
	farm_scan(f);
	assert_int_equal(f->plan.n_targets, 1);
}

/* Not joined, and told; and joined when that is over. */
static void not_joined(struct farm *f, unsigned warnings)
{
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(f->stats.failed, 1);
	assert_int_equal(seen.n[VU_EVENT_WARN], warnings);
	assert_false(immutable(f, 3, F1));
	assert_true(has(3, CONTENT));
}

static void joined(struct farm *f)
{
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(f->stats.inodes, 1);
	assert_true(stat_of(f, 3, F1).st_ino == stat_of(f, 0, F1).st_ino);
}

static void object_has_a_writer(struct farm *f)
{
	char p[256];

	plan_to_join(f);
	guest_path(f, 0, F1, p);
	assert_int_equal(sh("chattr -i %s", p), 0);
	int fd = open(p, O_WRONLY | O_CLOEXEC);

	assert_int_equal(sh("chattr +i %s", p), 0);
	not_joined(f, 1);
	close(fd);
	joined(f);
}

static void object_is_changed(struct farm *f)
{
	plan_to_join(f);
	assert_int_equal(
		sh("cd %s/g0 && chattr -i " F1 " && chmod 600 " F1 " && chattr +i " F1, f->fs->mnt),
		0);
	not_joined(f, 1);
}

static void object_has_no_flag(struct farm *f)
{
	plan_to_join(f);
	assert_int_equal(sh("chattr -i %s/g0/" F1, f->fs->mnt), 0);
	not_joined(f, 1);
	assert_int_equal(farm_recover(f, false).reflagged, 1);
	joined(f);
}

static void object_is_gone(struct farm *f)
{
	plan_to_join(f);
	assert_int_equal(sh("cd %s && chattr -i g0/" F1 " && find .vunify -samefile g0/" F1
			    " -delete",
			    f->fs->mnt),
			 0);
	not_joined(f, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_ON(xfs, gets_a_name),	 TEST_ON(xfs, gets_a_mode),
		TEST_ON(xfs, gets_a_writer),	 TEST_ON(xfs, object_has_a_writer),
		TEST_ON(xfs, object_is_changed), TEST_ON(xfs, object_has_no_flag),
		TEST_ON(xfs, object_is_gone),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
