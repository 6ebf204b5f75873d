/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib/link killed at any time, and recovery afterwards. Linked with --wrap=vu_exchange, so that a test
 * can kill it before one; and with --wrap=vu_pool_object_open and --wrap=vu_lease_take, which a test may
 * let fail.
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
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/exchange.h"
#include "fs/lease.h"
#include "link-farm.h"

static int opens_left = -1; /* calls that succeed before one fails with -ENOMEM; -1: all */

int __real_vu_pool_object_open(const struct vu_pool *p, const struct vu_key *key);
int __wrap_vu_pool_object_open(const struct vu_pool *p, const struct vu_key *key);

int __wrap_vu_pool_object_open(const struct vu_pool *p, const struct vu_key *key)
{
	if (opens_left >= 0 && !opens_left--)
		return -ENOMEM;
	return __real_vu_pool_object_open(p, key);
}

static int exchanges_left = -1; /* before the process is killed; -1: it is not */

int __real_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b);
int __wrap_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b);

int __wrap_vu_exchange(int dirfd_a, const char *a, int dirfd_b, const char *b)
{
	if (exchanges_left >= 0 && !exchanges_left--)
		raise(SIGKILL);
	return __real_vu_exchange(dirfd_a, a, dirfd_b, b);
}

static bool busy; /* whatever it is, somebody has it open for writing */

int __real_vu_lease_take(int fd);
int __wrap_vu_lease_take(int fd);

int __wrap_vu_lease_take(int fd)
{
	return busy ? VU_LEASE_BUSY : __real_vu_lease_take(fd);
}

/* An unmerge killed before its n-th exchange, flags set as the guardian does. Was there such a one? */
static bool cut_unmerge(struct farm *f, int n)
{
	struct vu_breaker_stats b;
	pid_t pid = fork();
	int status;

	if (!pid) {
		exchanges_left = n;
		_exit(farm_unmerge(f, &b) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(sh("find %s/.vunify/objects -type f -exec chattr +i {} +", f->fs->mnt), 0);
	return WIFSIGNALED(status);
}

/* A guest's names of one file stay that also where recovery meets a writer of the object. */
static void recover_beside_writer(struct farm *f)
{
	struct vu_breaker_stats b;
	uint64_t left = 0;
	bool cut = true;

	populate(f, 3);
	manifest(f, "a", false);
	for (int i = 0; cut; i++) {
		struct vu_recover_stats s;

		farm_scan(f);
		assert_int_equal(farm_link(f), 0);
		cut = cut_unmerge(f, i);
		busy = true;
		int r = farm_try_recover(f, false, &s);

		busy = false;
		assert_int_equal(r, 0);
		left += s.left;
		farm_recover(f, false);
		stage_is_empty(f);
		manifest(f, "b", false);
		same_manifest(f, "a", "b");
		for (unsigned g = 0; g < f->n; g++)
			assert_true(stat_of(f, g, "usr/twin").st_ino ==
				    stat_of(f, g, "usr/lib/f0").st_ino);
	}
	assert_true(left > 0);
	farm_scan(f);
	assert_int_equal(farm_unmerge(f, &b), 0);
}

/* A temporary name of an object goes in a moment; not as the file's that the object may have been. */
static void recover_without_memory(struct farm *f)
{
	struct vu_recover_stats s;
	char p[256];

	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	guest_path(f, 0, "usr/lib/f1", p);
	assert_int_equal(sh("mkdir -p %s/.vunify/stage/0 && chattr -i %s && "
			    "ln %s %s/.vunify/stage/0/t-0000000000000000-0 && chattr +i %s",
			    f->fs->mnt, p, p, f->fs->mnt, p),
			 0);
	opens_left = (int)n_objects(f); /* each is looked at before the stage is */
	assert_int_equal(farm_try_recover(f, false, &s), -ENOMEM);
	assert_int_equal(opens_left, -1);
	assert_int_equal(s.names_removed, 0);
	s = farm_recover(f, false);
	assert_int_equal(s.names_removed, 1);
	stage_is_empty(f);
	assert_true(immutable(f, 0, "usr/lib/f1"));
}

static void recover_flags(struct farm *f)
{
	char p[256];

	populate(f, 10);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	guest_path(f, 0, "usr/lib/f1", p);
	assert_int_equal(sh("chattr -i %s", p), 0);
	assert_int_equal(farm_recover(f, true).reflagged, 1);
	assert_false(immutable(f, 0, "usr/lib/f1"));
	assert_int_equal(farm_recover(f, false).reflagged, 1);
	assert_true(immutable(f, 0, "usr/lib/f1"));
	assert_int_equal(farm_recover(f, false).reflagged, 0);
	assert_int_equal(sh("chattr -i %s && chmod 600 %s", p, p), 0);
	seen.quiet = true;
	assert_int_equal(farm_recover(f, false).damaged, 1);
}

/* Each path is the old or the new file after a kill at any time; recovery leaves nothing behind. */
static void kills(struct farm *f)
{
	unsigned n = getenv("VU_KILLS") ? (unsigned)atoi(getenv("VU_KILLS")) : 40, alive = 0;
	struct vu_breaker_stats b;

	populate(f, 150);
	manifest(f, "a", false);
	srand(1);
	for (unsigned i = 0; i < n; i++) {
		bool unmerge = n_objects(f) > 75 && i % 2;

		farm_scan(f);
		f->jobs = 1 + i % 2;
		pid_t pid = fork();

		if (!pid)
			_exit(unmerge ? farm_unmerge(f, &b) != 0 : farm_link(f) != 0);
		usleep((useconds_t)(rand() % (unmerge ? 400000 : 60000)));
		kill(pid, SIGKILL);
		int status;

		assert_int_equal(waitpid(pid, &status, 0), pid);
		alive += WIFEXITED(status);
		farm_recover(f, false);
		stage_is_empty(f);
		assert_int_equal(seen.n[VU_EVENT_WARN] + seen.n[VU_EVENT_DAMAGE], 0);
		manifest(f, "b", false);
		same_manifest(f, "a", "b");
		assert_true(stat_of(f, 1, "usr/twin").st_ino == stat_of(f, 1, "usr/lib/f0").st_ino);
	}
	print_message("%u of %u ended before they were killed\n", alive, n);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(farm_unmerge(f, &b), 0);
	assert_int_equal(n_objects(f), 0);
	manifest(f, "b", false);
	same_manifest(f, "a", "b");
}

ON_ALL(recover_beside_writer)
ON_ALL(recover_without_memory)
ON_ALL(recover_flags)
ON_ALL(kills)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(recover_beside_writer),
		TESTS(recover_without_memory),
		TESTS(recover_flags),
		TESTS(kills),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
