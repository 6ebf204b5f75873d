/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/stop.h"
#include "base/watched.h"

#define BYTES 8192

static _Atomic uint64_t *shared; /* progress, and what the child wrote */

static int setup(void **state)
{
	(void)state;
	shared = vu_watched_memory(BYTES);
	return !shared;
}

static int teardown(void **state)
{
	(void)state;
	munmap(shared, BYTES);
	return 0;
}

static int notes(void *arg)
{
	shared[1] = *(uint64_t *)arg;
	return 0;
}

static int fails(void *arg)
{
	(void)arg;
	return -ENOSPC;
}

static int die(void *arg)
{
	(void)arg;
	raise(SIGKILL);
	return 0;
}

static int hang(void *arg)
{
	shared[1] = (uint64_t)getpid();
	while (!arg)
		pause();
	return 0;
}

/* Slow, but always on its way. */
static int plod(void *arg)
{
	(void)arg;
	for (int i = 0; i < 8; i++) {
		usleep(100000);
		shared[0]++;
	}
	return 0;
}

static void test_result(void **state)
{
	uint64_t n = 77;

	(void)state;
	assert_int_equal(vu_watched_run(shared, 5000, notes, &n), 0);
	assert_int_equal(shared[1], 77);
	assert_int_equal(vu_watched_run(shared, 5000, fails, NULL), -ENOSPC);
	assert_int_equal(vu_watched_run(shared, 5000, die, NULL), -EIO);
	vu_watched_clear(shared, BYTES);
	assert_int_equal(shared[1], 0);
}

static void test_stuck(void **state)
{
	(void)state;
	assert_int_equal(vu_watched_run(shared, 300, hang, NULL), VU_WATCHED_STUCK);
	/* and nobody is left */
	assert_int_equal(kill((pid_t)shared[1], 0), -1);
	assert_int_equal(errno, ESRCH);
}

static void test_slow(void **state)
{
	(void)state;
	assert_int_equal(vu_watched_run(shared, 500, plod, NULL), 0);
}

/* Last: a stop cannot be taken back. */
static void test_stop(void **state)
{
	(void)state;
	vu_stop_request(SIGTERM);
	assert_int_equal(vu_watched_run(shared, 60000, hang, NULL), -ECANCELED);
	assert_int_equal(kill((pid_t)shared[1], 0), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_result),
		TEST(test_stuck),
		TEST(test_slow),
		TEST(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
