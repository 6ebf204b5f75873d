/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done in place of calls that an older kernel does not have, or that a filter keeps away. */
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
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "fs/pagecache.h"
#include "scratch.h"

#define PAGES 100000 /* more than are looked at at a time */

/* clone3(2) is not there, as under RestrictNamespaces= of systemd. */
static void filter_clone3(void)
{
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);

	if (!c || seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) ||
	    seccomp_load(c))
		_exit(99);
	seccomp_release(c);
}

/* What a forked process looks like from both sides. Returns 0 or which of it is wrong. */
static int forks(void)
{
	struct pollfd p = {.events = POLLIN};
	siginfo_t info;
	pid_t child = vu_fork(0, &p.fd);

	if (!child)
		_exit(gettid() == getpid() && getppid() != 1 ? 7 : 8);
	if (child < 0)
		return 1;
	if (!(fcntl(p.fd, F_GETFD) & FD_CLOEXEC) || poll(&p, 1, 10000) != 1)
		return 2;
	if (waitid(P_PIDFD, (id_t)p.fd, &info, WEXITED) || info.si_pid != child ||
	    info.si_code != CLD_EXITED || info.si_status != 7)
		return 3;
	/* a flag that only clone3(2) takes: there is no other way, and it is told why */
	return vu_fork(UINT64_C(1) << 33, NULL) == -ENOSYS ? 0 : 4;
}

static void fork_where_clone3_is_filtered(void **state)
{
	int status = 0;
	pid_t child = fork();

	(void)state;
	if (!child) {
		filter_clone3();
		_exit(forks());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* cachestat(2) is there since Linux 6.5. */
static void pages_in_the_cache_by_mincore(void **state)
{
	long page = sysconf(_SC_PAGESIZE);
	char dir[SCRATCH_MAX], path[SCRATCH_PATH_MAX];
	uint64_t size = (uint64_t)PAGES * (uint64_t)page, n = 99;

	(void)state;
	assert_true(scratch_dir(dir, "test-old-kernel"));
	snprintf(path, sizeof(path), "%s/file", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(vu_pagecache_resident(fd, size, true, &n), 0);
	assert_int_equal(n, 0);
	/* dirty ones stay: the first, and one behind what is looked at first */
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)size - page / 2), 1);
	assert_int_equal(vu_pagecache_resident(fd, size, true, &n), 0);
	assert_int_equal(n, 2);
	close(fd);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fork_where_clone3_is_filtered),
		cmocka_unit_test(pages_in_the_cache_by_mincore),
	};

	return cmocka_run_group_tests_name("old-kernel", tests, NULL, NULL);
}
