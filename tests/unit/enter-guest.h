/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of cow/enter.h: a guest with real programs, copied from the host with their libraries, and a
 * supervisor in a process of its own, so that the command's output is not in that of the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cow/enter.h"
#include "scratch.h"

/* The guest's directory; beside it DIR.host, which nothing may get into. */
extern char enter_guest[SCRATCH_MAX];

/* Makes and removes them: for the group of tests. */
int enter_set_up(void **state);
int enter_tear_down(void **state);

/* After each test that changes the tree: makes it as it was, whatever failed. */
int enter_reset(void **state);

/*
 * A test of its own kind: the tree is made anew after it.
 *
 * What is tested is what keeps a guest's root from the host. So a test takes for granted that it fails: a command
 * may not do anything to the machine that could not be left so, and no directory of the host is mounted in the tree.
 */
#define enter_unit_test(fn) cmocka_unit_test_teardown(fn, enter_reset)

/* Runs a shell command on the host, as by printf(3); fails the test if it fails. */
void enter_host(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What it wrote. In memory that the next call overwrites. */
const char *enter_output(void);

/* Fails unless it wrote just that. */
void enter_assert_output(const char *want);

/*
 * Runs fn(arg) in a child, with standard input from /dev/null and what it prints to be had by enter_output.
 * It returns 0, or the number of the line that failed; then the test fails. Skips who is not root.
 */
void enter_play(int (*fn)(void *arg), void *arg);

/* The flags of both ways into a guest. */
extern const unsigned enter_ways[2];

/* The same, with a pointer to such flags for arg: one way, and each in turn. */
void enter_play_way(int (*fn)(void *arg), unsigned flags);
void enter_play_ways(int (*fn)(void *arg));

/* For such functions. */
#define ENTER_CHECK(ok)                                                                            \
	do {                                                                                       \
		if (!(ok))                                                                         \
			return __LINE__;                                                           \
	} while (0)

/* Enters the guest with the shell's command. Returns vu_enter's result. The root is opened and closed. */
int enter_shell(struct vu_entered *e, unsigned flags, struct vu_filter *f, const char *command);

/* Waits for the end, at most 10 s. Returns whether there was one. */
bool enter_wait(struct vu_entered *e, struct vu_enter_end *ret);

/* Waits for the next event, at most 10 s. Returns whether it is that: VU_ENTERED_*, and by which signal. */
bool enter_next_is(struct vu_entered *e, int what, int signal);

/* Plays a shell's command in the guest; fails unless it exits with the code. Output: enter_output. */
void enter_run(unsigned flags, const char *command, int exit_code);
