/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib/link on real file systems: what guests see must not change. */
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
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "link-farm.h"
#include "link/freezer.h"

static void round_trip(struct farm *f)
{
	struct vu_breaker_stats b;

	populate(f, 200);
	manifest(f, "a", true);
	for (unsigned jobs = 1; jobs <= 2; jobs++) {
		f->jobs = jobs;
		farm_scan(f);
		assert_int_equal(farm_link(f), 0);
		assert_int_equal(f->stats.names, 3 * 201);
		assert_int_equal(f->stats.inodes, 3 * 200);
		assert_int_equal(f->stats.objects_new, 200);
		assert_int_equal(f->stats.failed, 0);
		assert_int_equal(seen.n[VU_EVENT_UNIFY], 4 * 201);
		assert_int_equal(n_objects(f), 200);
		stage_is_empty(f);
		assert_true(immutable(f, 0, "usr/lib/f1"));
		assert_true(stat_of(f, 0, "usr/lib/f1").st_ino ==
			    stat_of(f, 3, "usr/lib/f1").st_ino);
		assert_true(stat_of(f, 2, "usr/twin").st_ino == stat_of(f, 3, "usr/lib/f0").st_ino);
		manifest(f, "b", true);
		same_manifest(f, "a", "b");
		farm_scan(f);
		assert_int_equal(f->plan.n_targets, 0);
		assert_int_equal(farm_unmerge(f, &b), 0);
		assert_int_equal(b.names, 4 * 201);
		assert_int_equal(b.given, 200);
		assert_int_equal(n_objects(f), 0);
		stage_is_empty(f);
		assert_false(immutable(f, 0, "usr/lib/f1"));
		assert_true(stat_of(f, 0, "usr/lib/f1").st_ino !=
			    stat_of(f, 3, "usr/lib/f1").st_ino);
		assert_true(stat_of(f, 2, "usr/twin").st_ino == stat_of(f, 2, "usr/lib/f0").st_ino);
		manifest(f, "b", true);
		same_manifest(f, "a", "b");
	}
}

static void writers(struct farm *f)
{
	char p[256];

	populate(f, 10);
	guest_path(f, 1, "usr/lib/f3", p);
	int w = open(p, O_WRONLY | O_APPEND | O_CLOEXEC);

	guest_path(f, 0, "usr/lib/f4", p); /* the keeper */
	int k = open(p, O_WRONLY | O_APPEND | O_CLOEXEC);

	guest_path(f, 2, "usr/lib/f5", p);
	int m = open(p, O_RDWR | O_CLOEXEC);
	char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m, 0);

	close(m);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(f->stats.failed, 3);
	assert_int_equal(write(w, "later", 5), 5);
	assert_int_equal(write(k, "later", 5), 5);
	memcpy(map, "LATER", 5);
	guest_path(f, 1, "usr/lib/f3", p);
	char *text = get_text(p);

	assert_non_null(strstr(text, "later"));
	free(text);
	guest_path(f, 0, "usr/lib/f4", p);
	text = get_text(p);
	assert_non_null(strstr(text, "later"));
	free(text);
	guest_path(f, 2, "usr/lib/f5", p);
	text = get_text(p);
	assert_int_equal(memcmp(text, "LATER", 5), 0);
	free(text);
	guest_path(f, 3, "usr/lib/f3", p);
	text = get_text(p);
	assert_null(strstr(text, "later"));
	free(text);
	assert_true(immutable(f, 3, "usr/lib/f3"));
	assert_true(stat_of(f, 2, "usr/lib/f4").st_ino == stat_of(f, 3, "usr/lib/f4").st_ino);
	close(w);
	close(k);
	munmap(map, 4096);
}

/* At the file system's limit of links the next generation begins. */
static void link_limit(void **state)
{
	struct farm *f = &now;
	char p[256];
	int full;

	(void)state;
	if (!fs_make(&now_fs, "ext4"))
		skip();
	farm_open(f, &now_fs, GUESTS);
	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	/* fills the object up with names in guest 0 */
	guest_path(f, 0, "usr/lib/f1", p);
	assert_int_equal(sh("chattr -i %s", p), 0);
	full = open(p, O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < 70000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "n%u", i);
		if (linkat(full, "", f->roots[0], name, AT_EMPTY_PATH)) {
			assert_int_equal(errno, EMLINK);
			break;
		}
	}
	close(full);
	assert_int_equal(sh("chattr +i %s", p), 0);
	for (unsigned g = 1; g < 4; g++) { /* three private files that are equal to it again */
		char q[256];

		guest_path(f, g, "usr/again", q);
		assert_int_equal(sh("cp -p --preserve=all %s %s", p, q), 0);
	}
	farm_scan(f);
	assert_int_equal(f->plan.n_targets, 3);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(f->stats.objects_new, 1);
	assert_int_equal(f->stats.inodes, 2);
	assert_int_equal(n_objects(f), 4);
	stage_is_empty(f);
	assert_true(stat_of(f, 1, "usr/again").st_ino == stat_of(f, 3, "usr/again").st_ino);
	assert_true(immutable(f, 1, "usr/again"));
}

static void few_descriptors(struct farm *f)
{
	struct rlimit old, l;

	populate(f, 100);
	farm_scan(f);
	getrlimit(RLIMIT_NOFILE, &old);
	l = old;
	l.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &l);
	f->jobs = 2;
	int r = farm_link(f);

	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(r, 0);
	assert_int_equal(f->stats.failed, 0);
	assert_int_equal(f->stats.names, 3 * 101);
}

static int look_in_vain(void *arg, int *dirs, size_t cap)
{
	(void)dirs;
	(void)cap;
	++*(unsigned *)arg;
	return -EPERM;
}

/* A guest that cannot be frozen begins to run meanwhile: nothing is done without, and that is told once. */
static void cannot_freeze(struct farm *f)
{
	unsigned looks = 0;
	struct vu_freezer_watch w = {.look = look_in_vain, .arg = &looks, .must = true};
	struct vu_freezer *freezer = NULL;

	assert_int_equal(vu_freezer_new(&w, NULL, NULL, &freezer), 0);
	populate(f, 30);
	manifest(f, "a", true);
	f->watch.freezer = freezer;
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_true(looks > 0);
	assert_int_equal(f->stats.names, 0);
	assert_int_equal(f->stats.failed, 4 * 30);
	assert_int_equal(seen.n[VU_EVENT_WARN], 1);
	assert_false(immutable(f, 0, "usr/lib/f1"));
	manifest(f, "b", true);
	same_manifest(f, "a", "b");
	f->watch.freezer = vu_freezer_free(freezer);
	stage_is_empty(f);
	/* and when it has ended */
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(f->stats.inodes, 3 * 30);
}

/* Longer than any path that the kernel takes: such a file can be had step by step only. */
static void long_paths(struct farm *f)
{
	char name[201];
	struct vu_stat st[GUESTS];

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (unsigned g = 0; g < GUESTS; g++) {
		int at = openat(f->roots[g], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), next;

		for (unsigned i = 0; i < 64; i++) {
			assert_int_equal(mkdirat(at, name, 0755), 0);
			next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			close(at);
			at = next;
		}
		int fd = openat(at, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		assert_int_equal(write(fd, "the same\n", 9), 9);
		futimens(fd, (struct timespec[]){{MTIME, 5}, {MTIME, 6}});
		close(fd);
		close(at);
	}
	sync();
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(f->stats.names, 3);
	assert_int_equal(f->stats.failed, 0);
	for (unsigned g = 0; g < GUESTS; g++) {
		int at = openat(f->roots[g], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), next;

		for (unsigned i = 0; i < 64; i++) {
			next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			close(at);
			at = next;
		}
		assert_int_equal(vu_stat_at(at, "file", &st[g]), 0);
		close(at);
		assert_int_equal(st[g].version.ino, st[0].version.ino);
		assert_int_equal(st[g].n_links, GUESTS + 1);
	}
}

ON_ALL(round_trip)
ON_ALL(writers)
ON_ALL(few_descriptors)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(round_trip),	  TESTS(writers),
		TESTS(few_descriptors),	  TEST_ON(xfs, cannot_freeze),
		TEST_ON(xfs, long_paths), cmocka_unit_test_teardown(link_limit, clean_up),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
