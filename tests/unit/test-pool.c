/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where there can be no pool, or none that could be trusted, and why; and what is never taken out of it. */
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
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link-farm.h"
#include "link/journal.h"

/* Tries to open the pool for this guest; want: what comes of it, and a part of the reason, or NULL. */
static void opens_with(int root, unsigned flags, int want, const char *why)
{
	struct vu_pool *p = NULL;
	char *is = NULL;
	int r = vu_pool_open(root, flags, &p, &is);

	vu_pool_close(p);
	if (r != want || !is != !why || (why && !strstr(is, why))) {
		print_message("opens with %d: %s\n", r, is ? is : "no reason");
		fail();
	}
	free(is);
}

static void give_lock_back(struct farm *f)
{
	f->pool = vu_pool_close(f->pool);
}

static struct farm *dissolves; /* its pool is closed for good before a lock is taken, once */

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation)
{
	struct farm *f = dissolves;

	dissolves = NULL;
	if (f) {
		assert_int_equal(vu_pool_dissolve(f->pool), 0);
		give_lock_back(f);
	}
	return __real_flock(fd, operation);
}

/* .vunify stays, for what was rescued: whoever comes next makes a lock there, which must be the only one. */
static void dissolved_meanwhile(struct farm *f)
{
	assert_int_equal(sh("mkdir -p %s/.vunify/rescued/a", f->fs->mnt), 0);
	dissolves = f;
	opens_with(f->roots[1], VU_POOL_CREATE, VU_POOL_BUSY, NULL);
	assert_null(f->pool);
	opens_with(f->roots[1], VU_POOL_CREATE, 0, NULL);
}

static void busy(struct farm *f)
{
	opens_with(f->roots[1], VU_POOL_CREATE, VU_POOL_BUSY, NULL);
	opens_with(f->roots[1], VU_POOL_LOOK, 0, NULL);
}

/* A guest that is all of a file system has the pool in itself. */
static void inside_guest(struct farm *f)
{
	int root = open(f->fs->mnt, O_PATH | O_DIRECTORY | O_CLOEXEC);

	give_lock_back(f);
	opens_with(root, VU_POOL_CREATE, VU_POOL_INSIDE_GUEST, NULL);
	close(root);
}

static void read_only(struct farm *f)
{
	give_lock_back(f);
	assert_int_equal(sh("mount -o remount,ro %s", f->fs->mnt), 0);
	opens_with(f->roots[0], VU_POOL_CREATE, VU_POOL_UNSUITABLE, "read-only");
	opens_with(f->roots[0], VU_POOL_LOOK, 0, NULL);
}

static void other_type(struct farm *f)
{
	int root;

	give_lock_back(f);
	assert_int_equal(sh("mkdir %s/ram && mount -t tmpfs tmpfs %s/ram && mkdir %s/ram/guest",
			    f->fs->dir, f->fs->dir, f->fs->dir),
			 0);
	char p[300];

	snprintf(p, sizeof(p), "%s/ram/guest", f->fs->dir);
	root = open(p, O_PATH | O_DIRECTORY | O_CLOEXEC);
	opens_with(root, VU_POOL_CREATE, VU_POOL_UNSUITABLE, "tmpfs is not known to hold");
	close(root);
	assert_int_equal(sh("umount %s/ram", f->fs->dir), 0);
}

/* In a mount namespace of its own, so that nothing is left mounted whatever comes. */
static void mounted_over(struct farm *f)
{
	int status = -1;
	pid_t pid;

	give_lock_back(f);
	pid = fork();
	if (!pid) {
		char p[300], *why = NULL;
		struct vu_pool *pool = NULL;

		if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(77);
		int root = open(f->guests.v[0].path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		snprintf(p, sizeof(p), "%s/.vunify/objects", f->fs->mnt);
		if (mount("tmpfs", p, "tmpfs", 0, "mode=0700"))
			_exit(77);
		if (vu_pool_open(root, VU_POOL_LOOK, &pool, &why) != VU_POOL_UNSAFE || !why ||
		    !strstr(why, "another file system"))
			_exit(1);
		free(why);
		why = NULL;
		if (umount(p) || mount("tmpfs", f->fs->mnt, "tmpfs", 0, NULL))
			_exit(77);
		if (vu_pool_open(root, VU_POOL_LOOK, &pool, &why) != VU_POOL_UNSUITABLE || !why ||
		    !strstr(why, "mounted over"))
			_exit(2);
		free(why);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("# skip: needs a mount namespace\n");
		skip();
	}
	assert_int_equal(status, 0);
}

/* Who is not root in the pool could put an inode of his own into it. */
static void unsafe(struct farm *f)
{
	give_lock_back(f);
	assert_int_equal(sh("chmod 701 %s/.vunify", f->fs->mnt), 0);
	opens_with(f->roots[0], VU_POOL_CREATE, VU_POOL_UNSAFE, "root alone");
	assert_int_equal(
		sh("chmod 700 %s/.vunify && chown 1 %s/.vunify/objects", f->fs->mnt, f->fs->mnt),
		0);
	opens_with(f->roots[0], VU_POOL_CREATE, VU_POOL_UNSAFE, "objects is not for root alone");
	assert_int_equal(sh("cd %s && chown 0 .vunify/objects && mv .vunify away && ln -s away "
			    ".vunify",
			    f->fs->mnt),
			 0);
	opens_with(f->roots[0], VU_POOL_CREATE, VU_POOL_UNSAFE, "is not a directory");
	assert_int_equal(sh("cd %s && rm .vunify && touch .vunify", f->fs->mnt), 0);
	opens_with(f->roots[0], VU_POOL_LOOK, VU_POOL_UNSAFE, "is not a directory");
	assert_int_equal(sh("cd %s && rm .vunify", f->fs->mnt), 0);
	opens_with(f->roots[0], VU_POOL_LOOK, VU_POOL_MISSING, NULL);
	assert_int_equal(sh("cd %s && mv away .vunify", f->fs->mnt), 0);
	opens_with(f->roots[0], VU_POOL_CREATE, 0, NULL);
}

/* Without one of these nothing could be undone: so it is told before anything is done. */
static void without_capability(struct farm *f)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {{CAP_LINUX_IMMUTABLE, "CAP_LINUX_IMMUTABLE"},
		      {CAP_LEASE, "CAP_LEASE"},
		      {CAP_FOWNER, "CAP_FOWNER"}};

	give_lock_back(f);
	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
		struct __user_cap_data_struct data[2];
		int status = -1;
		pid_t pid = fork();

		if (!pid) {
			struct vu_pool *pool = NULL;
			char *why = NULL;
			int cap = needed[i].cap;

			if (syscall(SYS_capget, &head, data))
				_exit(1);
			data[cap / 32].effective &= ~(UINT32_C(1) << (cap % 32));
			if (syscall(SYS_capset, &head, data))
				_exit(2);
			if (vu_pool_open(f->roots[0], VU_POOL_CREATE, &pool, &why) !=
			    VU_POOL_UNSUITABLE)
				_exit(3);
			_exit(why && strstr(why, needed[i].name) ? 0 : 4);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

static int keep_key(void *arg, uint64_t ino, const struct vu_key *key)
{
	(void)ino;
	*(struct vu_key *)arg = *key;
	return 1;
}

/* An object that a guest has stays, and keeps its flag; and with it the pool. */
static void object_in_use(struct farm *f)
{
	struct vu_key key;

	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(vu_pool_list(f->pool, keep_key, &key), 1);
	assert_int_equal(vu_pool_object_remove(f->pool, &key), -EBUSY);
	assert_true(immutable(f, 0, "usr/lib/f0"));
	assert_true(immutable(f, 0, "usr/lib/f1"));
	assert_true(immutable(f, 0, "usr/lib/f2"));
	assert_int_equal(vu_pool_dissolve(f->pool), 0);
	assert_int_equal(n_objects(f), 3);
}

/* An object that no guest has a name of any more, but processes of several guests have open, as libraries are. */
static void object_open_still(struct farm *f)
{
	struct vu_key key;
	char path[64];

	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(vu_pool_list(f->pool, keep_key, &key), 1);
	int object = vu_pool_object_open(f->pool, &key);

	assert_true(object >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", object);
	assert_int_equal(sh("cd %s && chattr -i .vunify/objects/*/* && rm -r g*/usr && "
			    "chattr +i .vunify/objects/*/*",
			    f->fs->mnt),
			 0);
	assert_int_equal(vu_pool_object_remove(f->pool, &key), 0);
	assert_int_equal(vu_pool_object_open(f->pool, &key), -ENOENT);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(open(path, (i ? O_RDWR : O_WRONLY) | (i > 1 ? O_TRUNC : 0)), -1);
		assert_int_equal(errno, EPERM);
	}
	assert_int_equal(chmod(path, 0777), -1);
	close(object);
}

ON_ALL(object_open_still)

static void nothing_in_use(struct farm *f)
{
	struct vu_breaker_stats b;

	populate(f, 3);
	farm_scan(f);
	assert_int_equal(farm_link(f), 0);
	assert_int_equal(farm_unmerge(f, &b), 0);
	assert_int_equal(vu_pool_dissolve(f->pool), 1);
	assert_int_equal(sh("test ! -e %s/.vunify", f->fs->mnt), 0);
}

/* What was rescued is nowhere else. */
static void something_rescued(struct farm *f)
{
	char p[300], *path = NULL;
	int stage = vu_pool_stage_open(f->pool, 0);

	assert_true(stage >= 0);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(p, sizeof(p), "%s/.vunify/stage/0/t-1", f->fs->mnt);
		put_text(p, i ? "second" : "first");
		assert_int_equal(vu_pool_rescue(f->pool, stage, "t-1", &path), 0);
		assert_string_equal(path, i ? ".vunify/rescued/t-1.1" : ".vunify/rescued/t-1");
		free(path);
	}
	close(stage);
	vu_pool_stage_remove(f->pool, 0);
	assert_int_equal(vu_pool_dissolve(f->pool), 0);
	assert_int_equal(sh("cd %s/.vunify/rescued && grep -qx first t-1 && grep -qx second t-1.1",
			    f->fs->mnt),
			 0);
}

/* A run that was cut short left lines there: nobody may write over them before recovery. */
static void journal_in_use(struct farm *f)
{
	struct vu_journal j;

	assert_int_equal(sh("echo left >%s/.vunify/journal.1", f->fs->mnt), 0);
	assert_int_equal(vu_journal_open(f->pool, 1, &j), -EBUSY);
	assert_int_equal(sh("grep -qx left %s/.vunify/journal.1", f->fs->mnt), 0);
	assert_int_equal(vu_recover_is_needed(f->pool), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_ON(xfs, busy),
		TEST_ON(xfs, dissolved_meanwhile),
		TEST_ON(xfs, inside_guest),
		TEST_ON(xfs, read_only),
		TEST_ON(xfs, other_type),
		TEST_ON(xfs, mounted_over),
		TEST_ON(xfs, unsafe),
		TEST_ON(xfs, without_capability),
		TEST_ON(xfs, object_in_use),
		TEST_ON(btrfs, object_in_use),
		TESTS(object_open_still),
		TEST_ON(xfs, nothing_in_use),
		TEST_ON(btrfs, nothing_in_use),
		TEST_ON(xfs, something_rescued),
		TEST_ON(xfs, journal_in_use),
	};

	signal(SIGIO, SIG_IGN);
	if (getenv("VU_TEST"))
		cmocka_set_test_filter(getenv("VU_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
