/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which cgroups may be frozen, and freezing them. Where there is no cgroup v2, most of it is skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guest/cgroup.h"
#include "guest/freezable.h"
#include "link/freezer.h"
#include "scratch.h"

static char dirs[2][SCRATCH_MAX];
static struct vu_procs_root roots[2];
static char base[300]; /* a cgroup of the test's own; "" where there can be none */
static pid_t pids[16];
static size_t n_pids;

static void make_base(void)
{
	static const char *const tops[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	struct statfs s;
	char file[400];

	for (size_t i = 0; i < VU_ARRAY_SIZE(tops); i++) {
		if (statfs(tops[i], &s) || s.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		snprintf(base, sizeof(base), "%s/vu-test-freezable-XXXXXX", tops[i]);
		snprintf(file, sizeof(file), "%s/cgroup.freeze", base);
		if (mkdtemp(base) &&
		    (snprintf(file, sizeof(file), "%s/cgroup.freeze", base), !access(file, W_OK)))
			return;
	}
	base[0] = 0;
}

static int setup(void **state)
{
	struct stat st;

	(void)state;
	for (int i = 0; i < 2; i++) {
		if (!scratch_dir(dirs[i], "test-freezable") || stat(dirs[i], &st))
			return -1;
		roots[i] = (struct vu_procs_root){st.st_dev, st.st_ino};
	}
	make_base();
	return 0;
}

static const char *const names[] = {"/a/x", "/a/y", "/a/.z", "/a", "/b", ""};

static int teardown(void **state)
{
	char path[400];

	(void)state;
	while (n_pids) {
		kill(pids[--n_pids], SIGKILL);
		waitpid(pids[n_pids], NULL, 0);
	}
	for (size_t i = 0; base[0] && i < VU_ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s%s", base, names[i]);
		for (int k = 0; rmdir(path) && errno == EBUSY && k < 100; k++)
			usleep(10000);
	}
	for (int i = 0; i < 2; i++)
		rmdir(dirs[i]);
	return 0;
}

static void need_cgroups(void)
{
	if (geteuid() || !base[0]) {
		print_message("# skipped: no cgroup v2 in which cgroups can be made\n");
		skip();
	}
}

static void write_to(const char *cgroup, const char *file, const char *text)
{
	char path[400];

	snprintf(path, sizeof(path), "%s%s/%s", base, cgroup, file);
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static char read_from(const char *cgroup, const char *file)
{
	char path[400], is = 0;

	snprintf(path, sizeof(path), "%s%s/%s", base, cgroup, file);
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(fd, &is, 1), 1);
	return is;
}

/* A process of a guest (-1: of the host) in a cgroup below base. */
static void process(int guest, const char *cgroup)
{
	char path[400], pid[16];
	int ready[2];

	for (const char *slash = cgroup; (slash = strchr(slash + 1, '/'));) {
		snprintf(path, sizeof(path), "%s%.*s", base, (int)(slash - cgroup), cgroup);
		mkdir(path, 0755);
	}
	snprintf(path, sizeof(path), "%s%s", base, cgroup);
	mkdir(path, 0755);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t child = fork();

	if (!child) {
		if (guest < 0 || (!chroot(dirs[guest]) && !chdir("/")))
			(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	pids[n_pids++] = child;
	assert_int_equal(read(ready[0], path, 1), 1);
	close(ready[0]);
	close(ready[1]);
	snprintf(pid, sizeof(pid), "%d", (int)child);
	write_to(cgroup, "cgroup.procs", pid);
}

/* Is that the n-th of what was found? */
static bool is_dir(const struct vu_freezable *f, size_t n, const char *cgroup)
{
	char path[400];
	struct stat a, b;

	snprintf(path, sizeof(path), "%s%s", base, cgroup);
	return n < f->n && !fstat(f->dirs[n], &a) && !stat(path, &b) && a.st_ino == b.st_ino;
}

static void expect(size_t n, bool all, const char *first)
{
	struct vu_freezable f;

	assert_int_equal(vu_freezable_look(roots, 2, &f), 0);
	assert_int_equal(f.all, all);
	if (all)
		assert_int_equal(f.n, n);
	else
		assert_non_null(f.why);
	if (first)
		assert_true(is_dir(&f, 0, first) || is_dir(&f, 1, first));
	vu_freezable_done(&f);
}

static void test_common(void **state)
{
	static const char *const cases[][3] = {
		{"/a/b", "/a/b", "/a/b"}, {"/a/b", "/a/c", "/a"},     {"/a/b", "/a", "/a"},
		{"/a", "/a/b", "/a"},	  {"/ab", "/ac", "/"},	      {"/a", "/ab", "/"},
		{"/a/b1", "/a/b", "/a"},  {"/", "/a", "/"},	      {"/a", "/", "/"},
		{"/a/b/c", "/x/y", "/"},  {"/a/b/c", "/a/b", "/a/b"},
	};

	(void)state;
	for (size_t i = 0; i < VU_ARRAY_SIZE(cases); i++) {
		char a[32];

		snprintf(a, sizeof(a), "%s", cases[i][0]);
		vu_cgroup_common(a, cases[i][1]);
		assert_string_equal(a, cases[i][2]);
	}
}

static void test_nobody(void **state)
{
	(void)state;
	expect(0, true, NULL);
}

static void test_of_its_own(void **state)
{
	(void)state;
	need_cgroups();
	process(-1, "/b");
	process(0, "/a/x");
	process(0, "/a/x");
	process(0, "/a/y");
	expect(1, true, "/a"); /* what it has in common, for nobody else is there */
}

static void test_with_the_host(void **state)
{
	(void)state;
	need_cgroups();
	process(0, "/a");
	process(-1, "/a");
	expect(0, false, NULL);
}

static void test_host_below(void **state)
{
	(void)state;
	need_cgroups();
	process(0, "/a");
	process(-1, "/a/x");
	expect(0, false, NULL);
}

static void test_host_beside_with_a_dot(void **state)
{
	(void)state;
	need_cgroups();
	process(-1, "/b");
	process(0, "/a/x");
	process(-1, "/a/.z");
	expect(1, true, "/a/x");
}

/* What a guest makes as deep as it likes is not followed for ever: it is not frozen. */
static void test_too_deep(void **state)
{
	char path[400];
	size_t top;

	(void)state;
	need_cgroups();
	process(-1, "/b");
	process(0, "/a");
	expect(1, true, "/a");
	top = (size_t)snprintf(path, sizeof(path), "%s/a", base);
	for (size_t i = 0; i < 66; i++) {
		strcpy(path + top + 2 * i, "/d");
		assert_int_equal(mkdir(path, 0755), 0);
	}
	expect(0, false, NULL);
	for (size_t i = 66; i > 0; i--) {
		path[top + 2 * i] = 0;
		assert_int_equal(rmdir(path), 0);
	}
}

static void test_with_another_guest(void **state)
{
	(void)state;
	need_cgroups();
	process(0, "/a");
	process(1, "/a");
	expect(0, false, NULL);
}

static void test_two_guests(void **state)
{
	(void)state;
	need_cgroups();
	process(0, "/a");
	process(1, "/b");
	expect(2, true, "/a");
}

/* Nothing in common that is its own: each by itself. */
static void test_apart(void **state)
{
	(void)state;
	need_cgroups();
	process(0, "/a/x");
	process(0, "/b");
	process(-1, "/a/y");
	expect(2, true, "/a/x");
}

static void test_in_no_cgroup(void **state)
{
	char pid[16];

	(void)state;
	need_cgroups();
	process(0, "/a");
	snprintf(pid, sizeof(pid), "%d", (int)pids[0]);
	write_to("/..", "cgroup.procs", pid);
	expect(0, false, NULL);
}

/* ---- the freezer ---- */

static int look(void *arg, int *ret, size_t cap)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/a", (const char *)arg);
	ret[0] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cap && ret[0] >= 0 ? 1 : -errno;
}

static int look_in_vain(void *arg, int *ret, size_t cap)
{
	(void)arg;
	(void)ret;
	(void)cap;
	return -EPERM;
}

static void test_freeze(void **state)
{
	struct vu_freezer_watch w = {.look = look, .arg = base};
	struct vu_freezer *f = NULL;

	(void)state;
	need_cgroups();
	process(0, "/a");
	assert_int_equal(vu_freezer_new(&w, NULL, NULL, &f), 0);
	assert_int_equal(vu_freezer_enter(f), 0);
	assert_true(vu_freezer_holds(f));
	assert_int_equal(read_from("/a", "cgroup.freeze"), '1');
	vu_freezer_leave(f);
	assert_int_equal(read_from("/a", "cgroup.freeze"), '0');
	assert_int_equal(vu_freezer_stats(f).times, 1);
	assert_true(vu_freezer_stats(f).max_ns > 0 && vu_freezer_stats(f).max_ns < 50000000);
	vu_freezer_free(f);
}

static void test_freeze_of_somebody_else(void **state)
{
	struct vu_freezer_watch w = {.look = look, .arg = base};
	struct vu_freezer *f = NULL;

	(void)state;
	need_cgroups();
	process(0, "/a");
	write_to("/a", "cgroup.freeze", "1");
	assert_int_equal(vu_freezer_new(&w, NULL, NULL, &f), 0);
	assert_int_equal(vu_freezer_enter(f), 0);
	assert_false(vu_freezer_holds(f));
	vu_freezer_leave(f);
	assert_int_equal(read_from("/a", "cgroup.freeze"), '1');
	vu_freezer_free(f);
	w.must = true;
	assert_int_equal(vu_freezer_new(&w, NULL, NULL, &f), 0);
	assert_int_equal(vu_freezer_enter(f), -EAGAIN);
	vu_freezer_free(f);
	write_to("/a", "cgroup.freeze", "0");
}

static void test_cannot_be_frozen(void **state)
{
	struct vu_freezer_watch w = {.look = look_in_vain};
	struct vu_freezer *f = NULL;

	(void)state;
	assert_int_equal(vu_freezer_new(&w, NULL, NULL, &f), 0);
	assert_int_equal(vu_freezer_enter(f), 0);
	assert_false(vu_freezer_holds(f));
	vu_freezer_leave(f);
	vu_freezer_free(f);
	w.must = true;
	assert_int_equal(vu_freezer_new(&w, NULL, NULL, &f), 0);
	assert_int_equal(vu_freezer_enter(f), -EAGAIN);
	vu_freezer_free(f);
}

/* What the guardian does when it lasts too long, and what a run does after one that was killed. */
static void test_lifted(void **state)
{
	static struct vu_frost frost = {.wake = -EBADF, .record = -EBADF};
	struct vu_freezer_watch w = {.look = look, .arg = base};
	char record[SCRATCH_PATH_MAX];
	struct vu_freezer *f = NULL;

	(void)state;
	need_cgroups();
	process(0, "/a");
	snprintf(record, sizeof(record), "%s/record", dirs[1]);
	assert_int_equal(vu_freezer_new(&w, &frost, record, &f), 0);
	assert_int_equal(vu_freezer_enter(f), 0);
	assert_true(vu_frost_left_ns(&frost) < 50000000);
	vu_frost_lift(&frost);
	assert_int_equal(read_from("/a", "cgroup.freeze"), '0');
	assert_false(vu_freezer_holds(f));
	/* who froze was late: it is thawed again */
	write_to("/a", "cgroup.freeze", "1");
	vu_frost_lift(&frost);
	assert_int_equal(read_from("/a", "cgroup.freeze"), '0');
	vu_freezer_leave(f);
	assert_int_equal(vu_freezer_stats(f).lifted, 1);
	assert_int_equal(vu_freezer_enter(f), 0);
	assert_int_equal(read_from("/a", "cgroup.freeze"), '1');
	assert_int_equal(vu_freezer_lift_record(record), 1);
	assert_int_equal(read_from("/a", "cgroup.freeze"), '0');
	vu_freezer_leave(f);
	vu_freezer_free(f);
	assert_int_equal(vu_freezer_lift_record(record), 0);
}

/* It was removed after it had been found, and nobody is in it any more. */
static void test_removed(void **state)
{
	struct vu_freezer_watch w = {.look = look, .arg = base, .must = true};
	struct vu_freezer *f = NULL;
	char path[400];

	(void)state;
	need_cgroups();
	snprintf(path, sizeof(path), "%s/a", base);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(vu_freezer_new(&w, NULL, NULL, &f), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(vu_freezer_enter(f), 0);
		vu_freezer_leave(f);
		assert_true(i || !rmdir(path));
	}
	vu_freezer_free(f);
}

/* The record is of a cgroup that there was once, or is no record: whoever is frozen has that of others. */
static void test_record_of_another(void **state)
{
	char record[SCRATCH_PATH_MAX], path[400], texts[4][600] = {""};
	struct stat st;

	(void)state;
	need_cgroups();
	process(0, "/a");
	write_to("/a", "cgroup.freeze", "1");
	snprintf(path, sizeof(path), "%s/a", base);
	assert_int_equal(stat(path, &st), 0);
	snprintf(texts[1], sizeof(texts[1]), "1\n%llu %s\n", (unsigned long long)st.st_ino + 1,
		 path);
	snprintf(texts[2], sizeof(texts[2]), "0\n%llu %s\n", (unsigned long long)st.st_ino, path);
	snprintf(texts[3], sizeof(texts[3]), "1\n%llu%s\n", (unsigned long long)st.st_ino, path);
	snprintf(record, sizeof(record), "%s/record", dirs[1]);
	for (size_t i = 0; i < VU_ARRAY_SIZE(texts); i++) {
		int fd = open(record, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		assert_int_equal(write(fd, texts[i], strlen(texts[i])), (ssize_t)strlen(texts[i]));
		close(fd);
		assert_int_equal(vu_freezer_lift_record(record), 0);
		assert_int_equal(access(record, F_OK), -1);
	}
	assert_int_equal(read_from("/a", "cgroup.freeze"), '1');
	assert_int_equal(symlink("/dev/null", record), 0);
	assert_int_equal(vu_freezer_lift_record(record), -ELOOP);
	assert_int_equal(unlink(record), 0);
	write_to("/a", "cgroup.freeze", "0");
}

/* It cannot be written where it is to be: freezing goes on without it. */
static void test_no_record(void **state)
{
	struct vu_freezer_watch w = {.look = look, .arg = base};
	char record[SCRATCH_PATH_MAX + 16];
	struct vu_freezer *f = NULL;

	(void)state;
	need_cgroups();
	process(0, "/a");
	snprintf(record, sizeof(record), "%s/missing/record", dirs[1]);
	assert_int_equal(vu_freezer_new(&w, NULL, record, &f), 0);
	assert_int_equal(vu_freezer_enter(f), 0);
	assert_true(vu_freezer_holds(f));
	vu_freezer_leave(f);
	assert_int_equal(read_from("/a", "cgroup.freeze"), '0');
	vu_freezer_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_common),
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		TEST(test_nobody),
		TEST(test_of_its_own),
		TEST(test_with_the_host),
		TEST(test_host_below),
		TEST(test_host_beside_with_a_dot),
		TEST(test_too_deep),
		TEST(test_with_another_guest),
		TEST(test_two_guests),
		TEST(test_apart),
		TEST(test_in_no_cgroup),
		TEST(test_freeze),
		TEST(test_freeze_of_somebody_else),
		TEST(test_cannot_be_frozen),
		TEST(test_lifted),
		TEST(test_removed),
		TEST(test_record_of_another),
		TEST(test_no_record),
	};

	return cmocka_run_group_tests_name("freezable", tests, NULL, NULL);
}
