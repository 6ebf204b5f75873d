/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/mapped.h"

/* On a tmpfs: there maps shows st_dev whatever /tmp may be. */
static char dir[] = "/dev/shm/test-mapped.XXXXXX";
static char file[64], other[64];
static struct vu_procs_root root;
static struct vu_mapped fs[2];
static uint64_t file_ino, other_ino;

static uint64_t make_file(char *path, size_t size, const char *name)
{
	struct stat st;

	snprintf(path, size, "%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0 || ftruncate(fd, 65536) || fstat(fd, &st))
		return 0;
	close(fd);
	return st.st_ino;
}

static int setup(void **state)
{
	struct stat st;

	(void)state;
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	if (!mkdtemp(dir) || stat(dir, &st))
		return -1;
	root = (struct vu_procs_root){st.st_dev, st.st_ino};
	memset(fs, 0, sizeof(fs));
	fs[0].dev = st.st_dev;
	fs[1].dev = st.st_dev + 1;
	file_ino = make_file(file, sizeof(file), "a\nfile");
	other_ino = make_file(other, sizeof(other), "other");
	return !file_ino || !other_ino;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		vu_inomap_done(&fs[i].count);
	unlink(file);
	unlink(other);
	return rmdir(dir);
}

static bool map(const char *path, off_t offset)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, offset) != MAP_FAILED;

	close(fd);
	return ok;
}

static bool map_file(void)
{
	return map("/a\nfile", 0);
}

/* Not next to each other, so that the kernel keeps them as two; and another one between them. */
static bool map_file_twice(void)
{
	return map("/a\nfile", 0) && map("/other", 0) && map("/a\nfile", 32768);
}

static void *wait_for_ever(void *arg)
{
	(void)arg;
	while (pause())
		;
	return NULL;
}

static bool map_in_two_threads(void)
{
	pthread_t t;

	return map_file() && !pthread_create(&t, NULL, wait_for_ever, NULL);
}

/* Starts a child, in the root or outside of it, which acts and then waits to be killed. */
static pid_t start(const char *where, bool (*act)(void))
{
	int fds[2];
	char ok = 0;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ok = (!where || (!chroot(where) && !chdir("/"))) && act();
		if (write(fds[1], &ok, 1) == 1 && ok)
			pause();
		_exit(0);
	}
	assert_true(pid > 0);
	close(fds[1]);
	if (read(fds[0], &ok, 1) != 1)
		ok = 0;
	close(fds[0]);
	assert_int_equal(ok, 1);
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static uint32_t uses(uint64_t ino)
{
	uint32_t n = 0;

	return vu_inomap_get(&fs[0].count, ino, &n) ? n : 0;
}

static void count(void)
{
	assert_int_equal(vu_mapped_count(&root, 1, fs, 2), 0);
	assert_int_equal(fs[1].count.n, 0);
}

static void nobody(void **state)
{
	(void)state;
	count();
	assert_int_equal(fs[0].count.n, 0);
	assert_int_equal(vu_mapped_count(NULL, 0, NULL, 0), 0);
}

static void one_process(void **state)
{
	(void)state;
	pid_t pid = start(dir, map_file);

	count();
	stop(pid);
	assert_int_equal(uses(file_ino), 1);
	assert_int_equal(uses(other_ino), 0);
}

static void two_processes(void **state)
{
	(void)state;
	pid_t a = start(dir, map_file), b = start(dir, map_file_twice);

	count();
	stop(a);
	stop(b);
	assert_int_equal(uses(file_ino), 2);
	assert_int_equal(uses(other_ino), 1);
}

static void twice_by_one_process(void **state)
{
	(void)state;
	pid_t pid = start(dir, map_file_twice);

	count();
	stop(pid);
	assert_int_equal(uses(file_ino), 1);
	assert_int_equal(uses(other_ino), 1);
}

static void in_two_threads(void **state)
{
	(void)state;
	pid_t pid = start(dir, map_in_two_threads);

	count();
	stop(pid);
	assert_int_equal(uses(file_ino), 1);
}

static bool map_from_outside(void)
{
	return map(file, 0);
}

static void not_by_a_process_outside(void **state)
{
	(void)state;
	pid_t pid = start(NULL, map_from_outside);

	count();
	stop(pid);
	assert_int_equal(uses(file_ino), 0);
}

/* Two mounts of a file system are two of the session's. */
static void for_each_given(void **state)
{
	uint32_t n = 0;

	(void)state;
	pid_t pid = start(dir, map_file);

	fs[1].dev = fs[0].dev;
	assert_int_equal(vu_mapped_count(&root, 1, fs, 2), 0);
	stop(pid);
	assert_int_equal(uses(file_ino), 1);
	assert_true(vu_inomap_get(&fs[1].count, file_ino, &n));
	assert_int_equal(n, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody),	      TEST(one_process),
		TEST(two_processes),  TEST(twice_by_one_process),
		TEST(in_two_threads), TEST(not_by_a_process_outside),
		TEST(for_each_given),
	};

	if (geteuid() || access("/dev/shm", W_OK)) {
		print_message("1..0 # SKIP needs root and /dev/shm\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
