/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who has a file open for writing: processes in chroots, which the test makes. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/openers.h"
#include "scratch.h"

static char dir[2][SCRATCH_MAX];
static const char *paths[2] = {dir[0], dir[1]};
static struct vu_procs_root roots[2];
static struct vu_openers_found found[3];
static struct stat file;

/* Each guest has a name of the same inode. */
static int setup(void **state)
{
	char name[SCRATCH_PATH_MAX], other[SCRATCH_PATH_MAX];
	struct stat st;

	(void)state;
	for (int i = 0; i < 2; i++) {
		if (!scratch_dir(dir[i], "test-openers") || stat(dir[i], &st))
			return -1;
		roots[i] = (struct vu_procs_root){st.st_dev, st.st_ino};
	}
	snprintf(name, sizeof(name), "%s/file", dir[0]);
	snprintf(other, sizeof(other), "%s/file", dir[1]);
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, 4096) || fstat(fd, &file) || link(name, other))
		return -1;
	return close(fd);
}

static int teardown(void **state)
{
	char name[SCRATCH_PATH_MAX];

	(void)state;
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s/file", dir[i]);
		unlink(name);
		rmdir(dir[i]);
	}
	return 0;
}

static bool reads(const char *name)
{
	return open(name, O_RDONLY) >= 0;
}

static bool writes(const char *name)
{
	return open(name, O_WRONLY | O_APPEND) >= 0;
}

static bool maps(const char *name)
{
	int fd = open(name, O_RDWR);
	/* as low as a program without ASLR lies: /proc writes such addresses in two ways */
	void *p = mmap((void *)0x600000, 4096, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);

	close(fd);
	return p != MAP_FAILED;
}

/* A child in root (NULL: in ours) that does this to the file, and waits to be killed. */
static pid_t start(const char *root, bool (*act)(const char *), const char *name)
{
	int fds[2];
	char ok = 0;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ok = (!root || (!chroot(root) && !chdir("/"))) && act(name);
		if (write(fds[1], &ok, 1) == 1)
			pause();
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &ok, 1), 1);
	close(fds[0]);
	assert_true(ok);
	return pid;
}

static void look(pid_t waited)
{
	assert_int_equal(
		vu_openers_find(roots, paths, 2, file.st_dev, file.st_ino, &waited, 1, found), 0);
	if (waited) {
		kill(waited, SIGKILL);
		waitpid(waited, NULL, 0);
	}
}

static void assert_holds(bool a, bool b, bool nobody)
{
	assert_int_equal(found[0].holds, a);
	assert_int_equal(found[1].holds, b);
	assert_int_equal(found[2].holds, nobody);
}

static void reader_is_no_writer(void **state)
{
	(void)state;
	look(start(dir[1], reads, "/file"));
	assert_holds(false, false, false);
	assert_true(found[1].waited);
	assert_false(found[0].waited || found[2].waited);
}

static void writer_by_its_root(void **state)
{
	(void)state;
	look(start(dir[1], writes, "/file"));
	assert_holds(false, true, false);
	look(0);
	assert_holds(false, false, false);
	assert_false(found[1].waited);
}

static void mapping_by_its_root(void **state)
{
	(void)state;
	look(start(dir[0], maps, "/file"));
	assert_holds(true, false, false);
}

static void process_of_the_host_by_its_path(void **state)
{
	char name[SCRATCH_PATH_MAX];

	(void)state;
	snprintf(name, sizeof(name), "%s/file", dir[1]);
	look(start(NULL, writes, name));
	assert_holds(false, true, false);
	assert_true(found[2].waited);
	look(start(NULL, maps, name));
	assert_holds(false, true, false);
}

/* Its path says nothing, so it is nobody's. */
static void process_of_the_host_elsewhere(void **state)
{
	char name[SCRATCH_PATH_MAX], other[SCRATCH_PATH_MAX];

	(void)state;
	snprintf(name, sizeof(name), "%s/file", dir[1]);
	snprintf(other, sizeof(other), "%s-x", dir[1]);
	assert_int_equal(link(name, other), 0);
	pid_t pid = start(NULL, writes, other);

	unlink(other);
	look(pid);
	assert_holds(false, false, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reader_is_no_writer),	     TEST(writer_by_its_root),
		TEST(mapping_by_its_root),	     TEST(process_of_the_host_by_its_path),
		TEST(process_of_the_host_elsewhere),
	};

	if (geteuid()) {
		print_message("1..0 # SKIP chroot needs root\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
