/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has which pages: processes with known pages, as guests. And the tables that a child fills for its parent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "mem/holders.h"
#include "mem/inuse.h"
#include "mem/pages.h"
#include "scratch.h"

#define N 3	 /* guests */
#define OWN 300	 /* pages of a file that only one has, times its number */
#define ALL 1000 /* that all have */

static char dir[SCRATCH_MAX];
static pid_t pids[N];
static int tasks[N];
static size_t page;

/* A file of so many pages, in memory; mapped and touched. */
static char *map_file(const char *name, size_t pages)
{
	char path[SCRATCH_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char *p = fd < 0 || ftruncate(fd, (off_t)(pages * page))
			  ? MAP_FAILED
			  : mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	for (size_t i = 0; p != MAP_FAILED && i < pages; i++)
		p[i * page] = 1;
	if (fd >= 0)
		close(fd);
	return p;
}

static _Noreturn void be_guest(int number, int ready, pid_t parent)
{
	char name[16];
	size_t size = (size_t)(number + 1) * OWN * page;

	snprintf(name, sizeof(name), "own-%d", number);
	char *anon = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok = map_file(name, (size_t)(number + 1) * OWN) != MAP_FAILED &&
		  map_file("all", ALL) != MAP_FAILED && anon != MAP_FAILED;

	for (size_t i = 0; ok && i < size; i += page)
		anon[i] = 1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ok = ok && getppid() == parent && write(ready, "", 1) == 1;
	while (ok)
		pause();
	_exit(1);
}

static int start(int number)
{
	int fds[2];
	char proc[64], c;
	pid_t self = getpid();

	if (pipe(fds))
		return -1;
	pids[number] = fork();
	if (!pids[number])
		be_guest(number, fds[1], self);
	close(fds[1]);
	bool ok = read(fds[0], &c, 1) == 1;

	close(fds[0]);
	snprintf(proc, sizeof(proc), "/proc/%d/task/%d", (int)pids[number], (int)pids[number]);
	tasks[number] = open(proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return ok && tasks[number] >= 0 ? 0 : -1;
}

static int setup(void **state)
{
	int r = 0;

	(void)state;
	page = (size_t)sysconf(_SC_PAGESIZE);
	if (!scratch_dir(dir, "test-pages"))
		return -1;
	for (int i = 0; !r && i < N; i++)
		r = start(i);
	return r;
}

static int teardown(void **state)
{
	char path[SCRATCH_PATH_MAX];

	(void)state;
	for (int i = 0; i < N; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		close(tasks[i]);
		snprintf(path, sizeof(path), "%s/own-%d", dir, i);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/all", dir);
	unlink(path);
	return rmdir(dir);
}

/* Guests are counted in this order, each once or more often. */
static void count(struct vu_pages *p, const size_t *order, size_t n, struct vu_pages_guest *g,
		  struct vu_pages_total *t)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(vu_pages_add(p, order[i], tasks[order[i]]), 0);
	assert_int_equal(vu_pages_sum(p, g, t), 0);
}

/* The processes have been forked from this one: so they share its files, and no more. */
static void test_counts(void **state)
{
	static const size_t order[] = {0, 1, 2}, other[] = {2, 0, 2, 1, 0, 1};
	struct vu_pages_guest g[N], again[N];
	struct vu_pages_total t, t2;
	struct vu_pages *p = NULL;

	(void)state;
	if (vu_pages_new(N, &p)) /* no kpageflags here, or no right to it */
		skip();
	count(p, order, VU_ARRAY_SIZE(order), g, &t);
	/* each has its own file once as often as its number says; what else is its own is small */
	for (int i = 0; i < N; i++) {
		uint64_t own = (uint64_t)(i + 1) * OWN;

		assert_int_equal(g[i].processes, 1);
		assert_in_range(g[i].file_own, own, own + OWN / 2);
		assert_in_range(g[i].file_shared, ALL, ALL + 2000);
		assert_int_equal(g[i].file_shared, g[0].file_shared);
		assert_in_range(g[i].anon, own, own + 2000);
		assert_in_range(g[i].mapped, 2 * own + ALL, 2 * own + ALL + 5000);
	}
	double fair = g[0].file_fair + g[1].file_fair + g[2].file_fair;
	double anon = g[0].anon_fair + g[1].anon_fair + g[2].anon_fair;

	assert_true(fair > (double)t.file - 1 && fair < (double)t.file + 1);
	assert_true(anon > (double)t.anon - 1 && anon < (double)t.anon + 1);
	assert_false(t.truncated);
	/* in another order, and some twice */
	vu_pages_clear(p);
	count(p, other, VU_ARRAY_SIZE(other), again, &t2);
	assert_int_equal(t2.file, t.file);
	for (int i = 0; i < N; i++) {
		assert_int_equal(again[i].processes, 2);
		assert_int_equal(again[i].file_own, g[i].file_own);
		assert_int_equal(again[i].file_shared, g[i].file_shared);
		assert_int_equal(again[i].anon, g[i].anon);
	}
	vu_pages_free(p);
}

static void test_ended(void **state)
{
	_cleanup_fd_ int none = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct vu_pages_guest g[1];
	struct vu_pages_total t;
	struct vu_pages *p = NULL;

	(void)state;
	if (vu_pages_new(1, &p))
		skip();
	assert_int_equal(vu_pages_add(p, 0, none), 0);
	assert_int_equal(vu_pages_sum(p, g, &t), 0);
	assert_int_equal(g[0].processes, 0);
	assert_int_equal(t.file + t.anon, 0);
	vu_pages_free(p);
}

/* ---- in use ---- */

static void test_inuse(void **state)
{
	char path[SCRATCH_PATH_MAX];
	struct stat all, own, none;
	struct vu_replaced_fs fs;

	(void)state;
	snprintf(path, sizeof(path), "%s/all", dir);
	assert_int_equal(stat(path, &all), 0);
	snprintf(path, sizeof(path), "%s/own-1", dir);
	assert_int_equal(stat(path, &own), 0);
	snprintf(path, sizeof(path), "%s/own-2", dir);
	assert_int_equal(stat(path, &none), 0);
	fs = (struct vu_replaced_fs){all.st_dev, all.st_dev};
	struct vu_inuse *u = vu_inuse_new(&fs, 1);

	assert_non_null(u);
	vu_inuse_begin(u, 7);
	assert_int_equal(vu_inuse_guest_at_hand(u), 7);
	assert_int_equal(vu_inuse_add(u, tasks[1]), 0);
	assert_true(vu_inuse_has(u, all.st_dev, all.st_ino));
	assert_true(vu_inuse_has(u, own.st_dev, own.st_ino));
	assert_false(vu_inuse_has(u, none.st_dev, none.st_ino));
	assert_false(vu_inuse_has(u, own.st_dev + 1, own.st_ino));
	/* open, and not mapped */
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int self = open("/proc/thread-self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(vu_inuse_add(u, self), 0);
	assert_true(vu_inuse_has(u, none.st_dev, none.st_ino));
	vu_inuse_clear(u);
	assert_false(vu_inuse_has(u, all.st_dev, all.st_ino));
	vu_inuse_free(u);
}

/* ---- holders ---- */

static void test_holders(void **state)
{
	struct vu_holders *h = vu_holders_new();
	bool is_new;

	(void)state;
	assert_non_null(h);
	struct vu_holders_inode *a = vu_holders_inode(h, 1, 8, 77, &is_new);

	assert_true(is_new);
	assert_ptr_equal(vu_holders_inode(h, 1, 8, 77, &is_new), a);
	assert_false(is_new);
	/* of another guest, or file system, it is another one */
	assert_ptr_not_equal(vu_holders_inode(h, 2, 8, 77, &is_new), a);
	assert_ptr_not_equal(vu_holders_inode(h, 1, 9, 77, &is_new), a);
	struct vu_holders_service *s = vu_holders_service(h, 1, "x\ny");

	assert_ptr_equal(vu_holders_service(h, 1, "x\ny"), s);
	assert_ptr_not_equal(vu_holders_service(h, 2, "x\ny"), s);
	vu_holders_hold(h, a, s);
	vu_holders_hold(h, a, s);
	assert_int_equal(h->n_holdings, 1);
	vu_holders_clear(h);
	assert_int_equal(h->n_inodes + h->n_services + h->n_holdings, 0);
	vu_holders_free(h);
}

/* A guest that has very many leaves room for another. */
static void test_holders_bounded(void **state)
{
	struct vu_holders *h = vu_holders_new();
	uint32_t part = (uint32_t)VU_HOLDERS_INODES / VU_HOLDERS_PART;
	char name[32];
	bool is_new;

	(void)state;
	assert_non_null(h);
	for (uint32_t i = 0; i < part; i++)
		assert_non_null(vu_holders_inode(h, 1, 8, i + 1, &is_new));
	assert_false(h->truncated);
	assert_null(vu_holders_inode(h, 1, 8, part + 1, &is_new));
	assert_true(h->truncated);
	assert_non_null(vu_holders_inode(h, 1, 8, part, &is_new));
	assert_false(is_new);
	assert_non_null(vu_holders_inode(h, 2, 8, 1, &is_new));
	part = (uint32_t)VU_HOLDERS_SERVICES / VU_HOLDERS_PART;
	for (uint32_t i = 0; i < part + 1; i++) {
		snprintf(name, sizeof(name), "%u", i);
		assert_true(!vu_holders_service(h, 1, name) == (i == part));
	}
	assert_non_null(vu_holders_service(h, 2, "0"));
	vu_holders_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),		cmocka_unit_test(test_ended),
		cmocka_unit_test(test_inuse),		cmocka_unit_test(test_holders),
		cmocka_unit_test(test_holders_bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
