/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where paths of a process begin: what is kept is right when the process goes elsewhere, and holds up nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fork.h"
#include "cow/start.h"
#include "fs/stat.h"
#include "scratch.h"

static char top[SCRATCH_MAX];
static int proc = -EBADF, words = -EBADF;
static pid_t guest;
static struct stat root;

/* ---- a process that does what it is told ---- */

static int act(const char *what)
{
	char verb, path[200];
	int fd;

	if (sscanf(what, "%c %199s", &verb, path) != 2)
		return -1;
	switch (verb) {
	case 'c':
		return chdir(path);
	case 'o': /* as descriptor 10 */
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 || dup2(fd, 10) != 10 || close(fd);
	case 'r':
		return chroot(path);
	case 'm':
		return mount("/dir", path, NULL, MS_BIND, NULL);
	case 'u':
		return umount2(path, UMOUNT_NOFOLLOW);
	case 'd':
		return rmdir(path);
	case 'n':
		return mkdir(path, 0755);
	default:
		return -1;
	}
}

static void obey(int orders)
{
	char what[256], ok;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	ok = !chdir(top) && !chroot(".") && !chdir("/");
	while (write(orders, &ok, 1) == 1) {
		ssize_t n = read(orders, what, sizeof(what) - 1);

		if (n <= 0)
			break;
		what[n] = 0;
		ok = !act(what);
	}
	_exit(0);
}

static bool is_done(void)
{
	char ok = 0;

	return read(words, &ok, 1) == 1 && ok;
}

static void tell(const char *what)
{
	assert_int_equal(write(words, what, strlen(what)), (ssize_t)strlen(what));
	if (!is_done())
		fail_msg("it could not: %s", what);
}

static int set_up(void **state)
{
	static const char *const dirs[] = {"dir",   "dir/a", "dir/b", "dir/c",
					   "dir/d", "dir/e", "mnt",   "new"};
	char path[SCRATCH_PATH_MAX];
	int s[2];

	(void)state;
	if (geteuid())
		return 0;
	assert_true(scratch_dir(top, "test-start"));
	for (size_t i = 0; i < VU_ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", top, dirs[i]);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	assert_int_equal(stat(top, &root), 0);
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(proc >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
	/* its mounts end with it */
	guest = vu_fork(CLONE_NEWNS, NULL);
	assert_true(guest >= 0);
	if (!guest) {
		close(s[0]);
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(1);
		obey(s[1]);
	}
	close(s[1]);
	words = s[0];
	assert_true(is_done());
	return 0;
}

static int tear_down(void **state)
{
	char command[SCRATCH_PATH_MAX];

	(void)state;
	if (!*top)
		return 0;
	close(words);
	waitpid(guest, NULL, 0);
	close(proc);
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", top);
	return system(command);
}

/* ---- */

static struct vu_starts *starts_new(void)
{
	if (!*top)
		skip();
	struct vu_starts *s = vu_starts_new(proc, root.st_dev, root.st_ino);

	assert_non_null(s);
	tell("c /");
	return s;
}

static unsigned n_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* It is open on what is at this path. */
static void is_on(const struct vu_start *at, const char *path)
{
	char whole[SCRATCH_PATH_MAX];
	struct stat want, is;

	snprintf(whole, sizeof(whole), "%s/%s", top, path);
	assert_int_equal(stat(whole, &want), 0);
	assert_int_equal(fstat(at->fd, &is), 0);
	if (is.st_ino != want.st_ino || at->st.version.ino != want.st_ino)
		fail_msg("not %s", path);
}

/* The same in a call of its own. */
static void is_at(struct vu_starts *s, bool from_root, int dirfd, const char *path)
{
	struct vu_start at;

	vu_starts_begin(s);
	assert_int_equal(vu_starts_get(s, guest, from_root, dirfd, &at), 0);
	is_on(&at, path);
	vu_starts_end(s);
}

static void test_follows(void **state)
{
	static const char *const dirs[] = {"dir/a", "dir/b", "dir/c", "dir/d",
					   "dir/e", "dir/b", "dir/a"};
	struct vu_starts *s = starts_new();
	char word[64];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < VU_ARRAY_SIZE(dirs); i++) {
			is_at(s, true, 0, "");
			snprintf(word, sizeof(word), "c /%s", dirs[i]);
			tell(word);
			is_at(s, false, AT_FDCWD, dirs[i]);
			is_at(s, false, AT_FDCWD, dirs[i]);
			snprintf(word, sizeof(word), "o /%s", dirs[(i + 2) % VU_ARRAY_SIZE(dirs)]);
			tell(word);
			is_at(s, false, 10, dirs[(i + 2) % VU_ARRAY_SIZE(dirs)]);
			is_at(s, false, AT_FDCWD, dirs[i]);
		}
	}
	vu_starts_free(s);
}

/* What is kept has a limit, and it is kept. */
static void test_keeps(void **state)
{
	struct vu_starts *s = starts_new();
	unsigned before = n_open(), after;
	struct vu_start a, b;

	(void)state;
	is_at(s, true, 0, "");
	assert_int_equal(n_open(), before + 1);
	for (unsigned i = 0; i < 20; i++) {
		char word[] = "c /dir/a";

		word[7] = (char)('a' + i % 5);
		tell(word);
		is_at(s, false, AT_FDCWD, word + 3);
	}
	after = n_open();
	assert_true(after > before + 1 && after <= before + 5);
	/* the same is found without being opened */
	vu_starts_begin(s);
	assert_int_equal(vu_starts_get(s, guest, false, AT_FDCWD, &a), 0);
	vu_starts_end(s);
	vu_starts_begin(s);
	assert_int_equal(vu_starts_get(s, guest, false, AT_FDCWD, &b), 0);
	vu_starts_end(s);
	assert_int_equal(a.fd, b.fd);
	vu_starts_free(s);
	assert_int_equal(n_open(), before);
}

/* Two of one call, and the root, are there together, whichever others have to go for them. */
static void test_together(void **state)
{
	struct vu_starts *s = starts_new();
	struct vu_start at[3], again;

	(void)state;
	is_at(s, true, 0, "");
	for (unsigned i = 0, x = 1; i < 200; i++) {
		char cwd[] = "c /dir/a", fd[] = "o /dir/a";

		x = x * 1103515245 + 12345;
		cwd[7] = (char)('a' + (x >> 8) % 5);
		fd[7] = (char)('a' + (x >> 16) % 5);
		tell(cwd);
		tell(fd);
		vu_starts_begin(s);
		assert_int_equal(vu_starts_get(s, guest, false, AT_FDCWD, &at[0]), 0);
		assert_int_equal(vu_starts_get(s, guest, false, 10, &at[1]), 0);
		assert_int_equal(vu_starts_get(s, guest, true, 0, &at[2]), 0);
		is_on(&at[0], cwd + 3);
		is_on(&at[1], fd + 3);
		is_on(&at[2], "");
		assert_int_equal(vu_starts_get(s, guest, false, AT_FDCWD, &again), 0);
		assert_int_equal(again.fd, at[0].fd);
		vu_starts_end(s);
	}
	vu_starts_free(s);
}

/* Nothing is left open behind a call that could keep a file system from being unmounted. */
static void test_unmount(void **state)
{
	struct vu_starts *s = starts_new();
	unsigned before = n_open();

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		tell("m /mnt");
		tell("c /mnt/a");
		tell("o /mnt/b");
		is_at(s, false, AT_FDCWD, "dir/a");
		is_at(s, false, 10, "dir/b");
		is_at(s, true, 0, "");
		is_at(s, false, AT_FDCWD, "dir/a");
		assert_int_equal(n_open(), before + 1);
		tell("c /");
		tell("o /dir");
		tell("u /mnt");
	}
	vu_starts_free(s);
}

/* Another directory in the place of one that is kept; and no such descriptor, no such thread. */
static void test_gone(void **state)
{
	struct vu_starts *s = starts_new();
	struct vu_start at;

	(void)state;
	is_at(s, true, 0, "");
	for (unsigned i = 0; i < 3; i++) {
		tell("c /new");
		is_at(s, false, AT_FDCWD, "new");
		tell("d /new");
		tell("n /new");
		tell("c /new");
		is_at(s, false, AT_FDCWD, "new");
	}
	vu_starts_begin(s);
	assert_int_equal(vu_starts_get(s, guest, false, 99, &at), -ENOENT);
	assert_int_equal(vu_starts_get(s, INT_MAX, true, 0, &at), -ENOENT);
	vu_starts_end(s);
	vu_starts_free(s);
}

/* The last: it does not come out again. */
static void test_chroot(void **state)
{
	struct vu_starts *s = starts_new();
	unsigned before;

	(void)state;
	is_at(s, true, 0, "");
	is_at(s, true, 0, "");
	before = n_open();
	tell("r /dir");
	for (unsigned i = 0; i < 3; i++)
		is_at(s, true, 0, "dir");
	assert_int_equal(n_open(), before);
	vu_starts_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follows),	 cmocka_unit_test(test_keeps),
		cmocka_unit_test(test_together), cmocka_unit_test(test_unmount),
		cmocka_unit_test(test_gone),	 cmocka_unit_test(test_chroot),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
