/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a supervisor and of those whom it serves: who is killed, who is left without an answer, many at
 * once, a full disk, mounts and roots of the guest's own. What single calls do is in test-serve.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/filter.h"
#include "guest-acts.h"
#include "supervised.h"

#define OTHER 2
#define FILES GUEST_FILES
#define BIG (1 << 20)

int __real_vu_live_break(struct vu_live_worker *w, const struct vu_live_name *name);
int __wrap_vu_live_break(struct vu_live_worker *w, const struct vu_live_name *name);

static bool kill_in_break, signal_behind_break;

int __wrap_vu_live_break(struct vu_live_worker *w, const struct vu_live_name *name)
{
	if (kill_in_break)
		kill(now_supervised.pid, SIGKILL);
	int r = __real_vu_live_break(w, name);

	if (signal_behind_break) {
		kill(now_supervised.pid, SIGUSR1);
		usleep(100000); /* until it has left the call */
	}
	return r;
}

static const struct supervised_want plain = {.filter = VU_FILTER_DESCRIPTORS};
static const struct supervised_want pivoted = {.filter = VU_FILTER_DESCRIPTORS, .pivot = true};
static const struct supervised_want later = {.filter = VU_FILTER_DESCRIPTORS, .later = true};

static void begin(struct farm *f, const struct supervised_want *want)
{
	populate(f, FILES);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	supervised_start(f, want);
}

static bool is_private(const struct farm *f, const char *rel)
{
	return !immutable(f, SUPERVISED, rel) &&
	       stat_of(f, SUPERVISED, rel).st_ino != stat_of(f, OTHER, rel).st_ino;
}

static bool is_shared(const struct farm *f, const char *rel)
{
	return immutable(f, OTHER, rel) && immutable(f, SUPERVISED, rel) &&
	       stat_of(f, SUPERVISED, rel).st_ino == stat_of(f, OTHER, rel).st_ino;
}

static void has_text(const struct farm *f, unsigned g, const char *rel, const char *text)
{
	char path[256];

	guest_path(f, g, rel, path);
	char *is = get_text(path);

	assert_non_null(is);
	assert_string_equal(is, text);
	free(is);
}

/* A call waits at the listener. */
static void wait_for_call(void)
{
	struct pollfd p = {now_supervised.listener, POLLIN, 0};

	assert_int_equal(poll(&p, 1, SUPERVISED_WAIT_MS), 1);
}

/* Nothing is lost between two supervisors: who calls meanwhile waits. */
static void again(struct farm *f)
{
	begin(f, &later);
	supervised_order(act_write_to, "/usr/lib/f1", "one\n");
	wait_for_call();
	assert_int_equal(supervised_done(100), -ETIMEDOUT);
	assert_true(is_shared(f, "usr/lib/f1"));
	supervised_serve();
	assert_int_equal(supervised_done(SUPERVISED_WAIT_MS), 4);
	supervised_stop();
	supervised_order(act_append_to, "/usr/lib/f1", "two\n");
	assert_int_equal(supervised_done(100), -ETIMEDOUT);
	supervised_serve();
	assert_int_equal(supervised_done(SUPERVISED_WAIT_MS), 4);
	has_text(f, SUPERVISED, "usr/lib/f1", "one\ntwo\n");
	assert_true(is_private(f, "usr/lib/f1"));
	has_text(f, OTHER, "usr/lib/f1", "content of 1, longer than inline\n");
}

/*
 * What a supervisor that was killed had taken is answered by the next, whichever of its threads had it: though
 * the first of them waits for a call, and nobody makes another one.
 */
static void taken_by_the_second(struct farm *f)
{
	static struct vu_notify_slot slots[2];
	struct vu_notify *n = NULL;
	const struct seccomp_notif *req;

	memset(slots, 0, sizeof(slots));
	begin(f, &later);
	supervised_order(act_append_to, "/usr/lib/f1", "more\n");
	wait_for_call();
	assert_int_equal(vu_notify_new(now_supervised.listener, &slots[1], &n), 0);
	assert_int_equal(vu_notify_receive(n, &req), 0);
	vu_notify_free(n);
	now_supervised.env.threads = 2;
	now_supervised.env.slots = slots;
	supervised_serve();
	assert_int_equal(supervised_done(SUPERVISED_WAIT_MS), 5);
	assert_true(is_private(f, "usr/lib/f1"));
	supervised_stop();
}

/* Who waits hears at once that nobody answers any more, and so does who comes later. The file stays what it is. */
static void closed(struct farm *f)
{
	begin(f, &later);
	supervised_order(act_write_to, "/usr/lib/f1", "x");
	wait_for_call();
	close(vu_take_fd(now_supervised.listener));
	assert_int_equal(supervised_done(SUPERVISED_WAIT_MS), -ENOSYS);
	assert_int_equal(supervised_do(act_write_to, "/usr/lib/f1", "x"), -ENOSYS);
	assert_int_equal(supervised_do(act_remove_it, "/usr/lib/f1", NULL), -ENOSYS);
	assert_true(is_shared(f, "usr/lib/f1"));
	has_text(f, SUPERVISED, "usr/lib/f1", "content of 1, longer than inline\n");
}

static void end_process(void)
{
	kill(now_supervised.pid, SIGKILL);
	assert_int_equal(waitpid(now_supervised.pid, NULL, 0), now_supervised.pid);
	now_supervised.pid = 0;
}

/* The call is gone before it is received; the others have their answers. */
static void killed_waiting(struct farm *f)
{
	begin(f, &later);
	assert_int_equal(supervised_do(act_kill_caller, "/usr/lib/f1", NULL), SIGKILL);
	supervised_serve();
	assert_int_equal(supervised_do(act_append_to, "/usr/lib/f2", "x"), 1);
	supervised_stop();
	assert_true(is_shared(f, "usr/lib/f1"));
	stage_is_empty(f);
}

/* The file is copied, or it is not; in any case it is whole, and nothing is left of the work. */
static void killed_in_break(struct farm *f)
{
	begin(f, &plain);
	kill_in_break = true;
	supervised_order(act_append_to, "/usr/lib/f1", "x");
	assert_int_equal(supervised_done(SUPERVISED_WAIT_MS), -ESRCH);
	end_process();
	supervised_stop();
	kill_in_break = false;
	assert_true(is_private(f, "usr/lib/f1") || is_shared(f, "usr/lib/f1"));
	has_text(f, SUPERVISED, "usr/lib/f1", "content of 1, longer than inline\n");
	has_text(f, OTHER, "usr/lib/f1", "content of 1, longer than inline\n");
	stage_is_empty(f);
}

static void ring(struct farm *f)
{
	begin(f, &plain);
	assert_int_equal(supervised_do(act_set_up_ring, "", NULL), -ENOSYS);
}

/* Of the guest who writes; unlink needs no room. */
static void full(struct farm *f)
{
	char *big = malloc(8 << 20), p[256];

	memset(big, 'x', 8 << 20);
	for (unsigned g = 0; g < f->n; g++) {
		guest_path(f, g, "big", p);
		put_file(p, big, 8 << 20);
	}
	free(big);
	begin(f, &plain);
	assert_int_equal(sh("dd if=/dev/zero of=%s/fill bs=1M 2>/dev/null; sync -f %s", f->fs->mnt,
			    f->fs->mnt),
			 0);
	long r = supervised_do(act_append_to, "/big", "x");

	/* a copy that shares its extents needs no space */
	assert_true(r == -ENOSPC || (r == 1 && !strcmp(f->fs->type, "xfs")));
	assert_true(r == 1 ? is_private(f, "big") : is_shared(f, "big"));
	assert_int_equal(supervised_do(act_remove_it, "/big", NULL), 0);
	assert_int_equal(stat_of(f, OTHER, "big").st_size, 8 << 20);
	assert_int_equal(sh("rm %s/fill; sync -f %s", f->fs->mnt, f->fs->mnt), 0);
	assert_int_equal(supervised_do(act_append_to, "/usr/lib/f1", "x"), 1);
	supervised_stop();
	stage_is_empty(f);
}

static uint64_t copied(void)
{
	struct vu_live_stats stats;

	vu_live_stats(now_supervised.live, &stats);
	return stats.copied_bytes;
}

/* Names that were changed without a copy. */
static uint64_t changed(void)
{
	struct vu_live_stats stats;

	vu_live_stats(now_supervised.live, &stats);
	return stats.renamed;
}

static void put_big(const struct farm *f, const char *name, char first)
{
	char *big = malloc(BIG), p[256];

	assert_non_null(big);
	memset(big, 'x', BIG);
	big[0] = first;
	for (unsigned g = 0; g < f->n; g++) {
		guest_path(f, g, name, p);
		put_file(p, big, BIG);
		assert_int_equal(chmod(p, 0640), 0);
	}
	free(big);
}

/* What is cut off is not copied before; but it is kept where the call fails after all. */
static void cut_off(struct farm *f)
{
	static const char *const names[] = {"big1", "big2", "big3"};
	const size_t size = BIG;

	for (unsigned i = 0; i < VU_ARRAY_SIZE(names); i++)
		put_big(f, names[i], (char)i);
	begin(f, &plain);
	assert_int_equal(supervised_do(act_write_to, "/big1", "new\n"), 4);
	assert_int_equal(supervised_do(act_cut, "/big2", NULL), 0);
	assert_int_equal(copied(), 0);
	has_text(f, SUPERVISED, "big1", "new\n");
	assert_int_equal(stat_of(f, SUPERVISED, "big1").st_mode & 07777, 0640);
	assert_int_equal(stat_of(f, SUPERVISED, "big2").st_size, 0);
	assert_true(time(NULL) - stat_of(f, SUPERVISED, "big2").st_mtime < 600);
	assert_int_equal(supervised_do(act_write_at_limit, "/big3", "new\n"), -EMFILE);
	assert_int_equal(stat_of(f, SUPERVISED, "big3").st_size, size);
	for (unsigned i = 0; i < VU_ARRAY_SIZE(names); i++) {
		assert_int_equal(stat_of(f, OTHER, names[i]).st_size, size);
		assert_true(is_private(f, names[i]));
	}
	supervised_stop();
	stage_is_empty(f);
}

/* A call that a signal can still make fail (EINTR) loses nothing. */
static void interrupted(struct farm *f)
{
	static const struct supervised_want want = {.interruptible = true};

	put_big(f, "big", 0);
	begin(f, &want);
	signal_behind_break = true;
	long r = supervised_do(act_write_interrupted, "/big", "new\n");

	signal_behind_break = false;
	assert_int_equal(r, -EINTR);
	assert_int_equal(stat_of(f, SUPERVISED, "big").st_size, BIG);
	assert_int_equal(supervised_do(act_write_to, "/big", "new\n"), 4);
	has_text(f, SUPERVISED, "big", "new\n");
	supervised_stop();
	stage_is_empty(f);
}

/* What Landlock refuses to one who has all capabilities is not done for him, and nothing is lost by it. */
static void limited(struct farm *f)
{
	static const struct supervised_want want = {.filter = VU_FILTER_LANDLOCK};

	put_big(f, "big", 0);
	begin(f, &want);
	long r = supervised_do(act_write_limited, "/big", "/usr/lib/f1");

	if (r == ACT_NO_LANDLOCK)
		skip();
	assert_int_equal(r, 0);
	assert_int_equal(stat_of(f, SUPERVISED, "big").st_size, BIG);
	/* others are not limited by it */
	assert_int_equal(supervised_do(act_remove_it, "/usr/lib/f2", NULL), 0);
	assert_int_equal(changed(), 1);
	assert_int_equal(supervised_do(act_write_limited_with_privs, "/big", "/usr/lib/f3"), 0);
	assert_int_equal(stat_of(f, SUPERVISED, "big").st_size, BIG);
	/* of whom that cannot be told any more */
	assert_int_equal(supervised_do(act_remove_it, "/usr/lib/f4", NULL), 0);
	assert_int_equal(changed(), 1);
	supervised_stop();
	stage_is_empty(f);
}

/* Who does not wait for his turn to have something copied has nothing copied: else he would have it at once. */
static void killed_in_turn(struct farm *f)
{
	struct vu_budget budget = {.breaks = 1};

	begin(f, &later);
	now_supervised.env.budget = &budget;
	supervised_serve();
	assert_int_equal(supervised_do(act_append_to, "/usr/lib/f1", "x"), 1);
	assert_int_equal(supervised_do(act_kill_caller, "/usr/lib/f2", NULL), SIGKILL);
	supervised_stop();
	assert_true(is_shared(f, "usr/lib/f2"));
}

static void put_owned(const struct farm *f, const char *dir, const char *name, mode_t mode)
{
	char p[256];

	for (unsigned g = 0; g < f->n; g++) {
		guest_path(f, g, dir, p);
		assert_int_equal(mkdir(p, 0755), 0);
		guest_path(f, g, name, p);
		put_file(p, name, strlen(name));
		assert_int_equal(chown(p, 1000, 1000), 0);
		guest_path(f, g, dir, p);
		assert_int_equal(chmod(p, mode), 0);
	}
}

/* A file of one's own in a directory that one may not search. */
static void asked(struct farm *f)
{
	static const struct supervised_want want = {.uid = 1000, .gid = 1000};

	put_owned(f, "open", "open/file", 0755);
	put_owned(f, "shut", "shut/file", 0700);
	begin(f, &want);
	assert_true(is_shared(f, "open/file") && is_shared(f, "shut/file"));
	assert_int_equal(supervised_do(act_ask, "/open/file", NULL), 0);
	assert_int_equal(supervised_do(act_ask, "open/file", NULL), 0);
	assert_int_equal(supervised_do(act_ask, "/shut/file", NULL), -EACCES);
	assert_int_equal(supervised_do(act_ask, "open/../shut/file", NULL), -EACCES);
	assert_true(is_shared(f, "open/file") && is_shared(f, "shut/file"));
	supervised_stop();
}

/* Names that have to be known take memory: of a guest that makes many of them files are copied. */
static void many_names(struct farm *f)
{
	static const struct supervised_want want = {.names_max = 3};

	begin(f, &want);
	assert_int_equal(supervised_do(act_link_it, "/usr/lib/f1", NULL), 0);
	assert_int_equal(supervised_do(act_link_it, "/usr/lib/f2", NULL), 0);
	assert_int_equal(changed(), 2);
	assert_int_equal(supervised_do(act_link_it, "/usr/lib/f3", NULL), 0);
	assert_int_equal(changed(), 2);
	assert_int_equal(stat_of(f, SUPERVISED, "usr/lib/f2+").st_ino,
			 stat_of(f, OTHER, "usr/lib/f2").st_ino);
	assert_true(is_private(f, "usr/lib/f3"));
	assert_int_equal(supervised_do(act_append_to, "/usr/lib/f1", "x"), 1);
	assert_int_equal(supervised_do(act_append_to, "/usr/lib/f3", "x"), 1);
	for (int i = 1; i <= 3; i += 2) {
		char one[16], other[16];

		snprintf(one, sizeof(one), "usr/lib/f%d", i);
		snprintf(other, sizeof(other), "usr/lib/f%d+", i);
		assert_int_equal(stat_of(f, SUPERVISED, one).st_ino,
				 stat_of(f, SUPERVISED, other).st_ino);
	}
	/* those of the first are not to be known any more */
	assert_int_equal(supervised_do(act_link_it, "/usr/lib/f4", NULL), 0);
	assert_int_equal(changed(), 3);
	supervised_stop();
}

/* Who waits for his turn to have something copied holds up nobody else. */
static void beside(struct farm *f)
{
	struct supervised_want want = plain;
	struct vu_budget budget = {.breaks = 1};

	want.threads = 2;
	want.later = true;
	begin(f, &want);
	now_supervised.env.budget = &budget;
	supervised_serve();
	long ms = supervised_do(act_change_beside, "", NULL);

	assert_in_range(ms, 0, 500);
	supervised_stop();
}

/* Many processes, several threads. */
static void at_once(struct farm *f)
{
	struct supervised_want want = plain;
	char rel[64], text[128];

	want.threads = 4;
	begin(f, &want);
	assert_int_equal(supervised_do(act_write_at_once, "", NULL), 0);
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(rel, sizeof(rel), "usr/lib/f%u", i);
		assert_true(is_private(f, rel));
		snprintf(text, sizeof(text), "content of %u, longer than inline\n", i);
		has_text(f, OTHER, rel, text);
		snprintf(text + strlen(text), 32, "written by %u\n", i % GUEST_WRITERS);
		has_text(f, SUPERVISED, rel, text);
	}
	supervised_stop();
	stage_is_empty(f);
}

/* What a mount of the guest keeps from being changed, the supervisor does not change. */
static void read_only(struct farm *f)
{
	begin(f, &plain);
	assert_int_equal(supervised_do(act_change_read_only, "/usr/lib/f1", NULL), -EROFS);
	assert_true(is_shared(f, "usr/lib/f1"));
}

static void elsewhere(struct farm *f)
{
	begin(f, &plain);
	assert_int_equal(supervised_do(act_write_elsewhere, "/mnt/lib/f1", "new\n"), 4);
	has_text(f, SUPERVISED, "usr/lib/f1", "new\n");
	assert_true(is_private(f, "usr/lib/f1"));
}

static void below(struct farm *f)
{
	begin(f, &plain);
	assert_int_equal(supervised_do(act_fork_root, "", NULL), 0);
	has_text(f, SUPERVISED, "usr/lib/f1", "from below\n");
	has_text(f, OTHER, "usr/lib/f1", "content of 1, longer than inline\n");
	assert_true(is_shared(f, "usr/lib/f3"));
}

static void a_thread(struct farm *f)
{
	begin(f, &plain);
	assert_int_equal(supervised_do(act_thread_apart, "", NULL), 0);
	assert_int_equal(stat_of(f, SUPERVISED, "usr/lib/f1").st_mode & 07777, 0611);
	assert_true(is_private(f, "usr/lib/f1"));
	assert_true(is_shared(f, "usr/lib/f2"));
	has_text(f, SUPERVISED, "usr/lib/f3", "content of 3, longer than inline\nx");
	has_text(f, SUPERVISED, "usr/lib/f4", "content of 4, longer than inline\ny");
}

static void user_namespace(struct farm *f)
{
	/* nobody makes a user namespace in a chroot */
	begin(f, &pivoted);
	assert_int_equal(supervised_do(act_fork_user, "", NULL), 0);
	/* a copy may have been made of f1 in vain: his capabilities are taken for what they would be here */
	has_text(f, SUPERVISED, "usr/lib/f1", "content of 1, longer than inline\n");
	has_text(f, OTHER, "usr/lib/f1", "content of 1, longer than inline\n");
	assert_true(is_private(f, "usr/lib/f2"));
	has_text(f, SUPERVISED, "usr/lib/f2", "content of 2, longer than inline\nby its owner\n");
}

ON_ALL(full)
ON_ALL(cut_off)

int main(void)
{
	struct CMUnitTest tests[] = {
		TEST_ON(xfs, again),
		TEST_ON(xfs, taken_by_the_second),
		TEST_ON(xfs, closed),
		TEST_ON(xfs, killed_waiting),
		TEST_ON(xfs, killed_in_break),
		TEST_ON(xfs, ring),
		TEST_ON(xfs, interrupted),
		TEST_ON(xfs, limited),
		TEST_ON(xfs, killed_in_turn),
		TEST_ON(xfs, many_names),
		TEST_ON(xfs, asked),
		TEST_ON(xfs, beside),
		TEST_ON(xfs, at_once),
		TEST_ON(btrfs, at_once),
		TEST_ON(xfs, read_only),
		TEST_ON(xfs, elsewhere),
		TEST_ON(xfs, below),
		TEST_ON(xfs, a_thread),
		TEST_ON(xfs, user_namespace),
		TESTS(full),
		TESTS(cut_off),
	};

	for (size_t i = 0; i < VU_ARRAY_SIZE(tests); i++)
		tests[i].teardown_func = supervised_end;
	return cmocka_run_group_tests_name("supervisor", tests, NULL, NULL);
}
