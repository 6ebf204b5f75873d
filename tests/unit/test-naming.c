/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lib/link/naming: what becomes of the names of an object where the file system has no further link for it, where
 * somebody gets into the moment in which they are given, and where the object is another one by now.
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
#include <unistd.h>

#include "fs/exchange.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "link-farm.h"
#include "link/naming.h"

#define F1 "usr/lib/f1"
#define NAMES 3

/* What is to happen when a name is given, once. */
static struct {
	int left;	 /* so many names before; -1: nothing happens */
	int err;	 /* the call fails so; 0: somebody opens the object for writing */
	int writer;	 /* who did; -EBADF */
	unsigned n_told; /* names of which was told what became of them */
	int told;	 /* of the last one */
} act = {.left = -1};

int __real_vu_link_fd(int fd, int dirfd, const char *name);
int __wrap_vu_link_fd(int fd, int dirfd, const char *name);

/* As one who had passed the permission check when the flag went off, and whom no lease keeps. */
int __wrap_vu_link_fd(int fd, int dirfd, const char *name)
{
	char path[64];

	if (act.left < 0 || act.left--)
		return __real_vu_link_fd(fd, dirfd, name);
	if (act.err)
		return act.err;
	vu_lease_drop(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	act.writer = open(path, O_WRONLY | O_CLOEXEC);
	return __real_vu_link_fd(fd, dirfd, name);
}

static void named(void *arg, void *cookie, const char *name, uint64_t ino, int r)
{
	(void)arg;
	(void)cookie;
	(void)name;
	(void)ino;
	act.n_told++;
	act.told = r;
}

/* The object of g0's f1. */
struct wanted {
	uint64_t ino;
	struct vu_key key;
};

static int is_it(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct wanted *w = arg;

	if (ino != w->ino)
		return 0;
	w->key = *key;
	return 1;
}

/* Gives it names n0, n1, ... in a directory of the file system, whose path is in dir. */
static int give(struct farm *f, uint64_t as_ino, char dir[256])
{
	const struct vu_sink sink = {on_event, &seen};
	struct vu_moment_env moment;
	const struct vu_naming_env env = {.pool = f->pool, .moment = &moment, .done = named};
	struct wanted w = {.ino = stat_of(f, 0, F1).st_ino};
	struct vu_naming *n;
	char name[8];

	snprintf(dir, 256, "%s/tree", f->fs->mnt);
	assert_int_equal(sh("mkdir -p %s", dir), 0);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	assert_int_equal(vu_pool_list(f->pool, is_it, &w), 1);
	vu_moment_env_init(&moment, &sink, 65536);
	assert_int_equal(vu_naming_new(&env, &n), 0);
	for (unsigned i = 0; !r && i < NAMES; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		r = vu_naming_add(n, &w.key, as_ino ? as_ino : w.ino, fd, name, NULL);
	}
	int e = vu_naming_flush(n);

	vu_naming_free(n);
	vu_moment_env_done(&moment);
	close(fd);
	assert_int_equal(act.n_told, NAMES);
	return r ? r : e;
}

static void unify(struct farm *f, int left, int err)
{
	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	memset(&act, 0, sizeof(act));
	act.left = left;
	act.err = err;
	act.writer = -EBADF;
	memset(&seen, 0, sizeof(seen));
	seen.quiet = true;
}

static void none_was_given(const struct farm *f, const char *dir)
{
	assert_int_equal(sh("test -z \"$(ls -A %s)\"", dir), 0);
	assert_true(immutable(f, 0, F1));
	assert_int_equal(stat_of(f, 0, F1).st_nlink, f->n + 1);
}

/* Those of one inode stay together. */
static void no_further_link(struct farm *f)
{
	char dir[256];

	unify(f, NAMES - 1, -EMLINK);
	assert_int_equal(give(f, 0, dir), 0);
	assert_int_equal(act.told, -EMLINK);
	none_was_given(f, dir);
	/* and where there are some again, all of them come */
	act.n_told = 0;
	assert_int_equal(give(f, 0, dir), 0);
	assert_int_equal(act.told, 0);
	assert_int_equal(stat_of(f, 0, F1).st_nlink, f->n + 1 + NAMES);
	assert_true(immutable(f, 0, F1));
}

/* It is to be evicted: that finds names in guests only. */
static void somebody_gets_in(struct farm *f)
{
	char dir[256];
	struct wanted w = {0};

	unify(f, 1, 0);
	w.ino = stat_of(f, 0, F1).st_ino;
	assert_int_equal(give(f, 0, dir), 0);
	assert_true(act.writer >= 0);
	assert_int_equal(act.told, VU_NAMING_BUSY);
	none_was_given(f, dir);
	assert_int_equal(vu_pool_list(f->pool, is_it, &w), 1);
	assert_true(vu_pool_object_slipped(f->pool, &w.key));
	close(act.writer);
}

static void another_object_by_now(struct farm *f)
{
	char dir[256];

	unify(f, -1, 0);
	assert_int_equal(give(f, stat_of(f, 0, "usr/lib/f2").st_ino, dir), 0);
	assert_int_equal(act.told, -ESTALE);
	none_was_given(f, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_ON(xfs, no_further_link),
		TEST_ON(xfs, somebody_gets_in),
		TEST_ON(xfs, another_object_by_now),
	};

	return cmocka_run_group_tests_name("naming", tests, NULL, NULL);
}
