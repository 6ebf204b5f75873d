/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of an installed filter: a child makes calls under it, and what is notified is decoded and compared
 * with what the child did. No call finds a file, so that none does anything. cmocka's headers come before
 * this one; syscall(2) is wrapped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A register whose upper half is not zero, which nobody may look at. */
#define DIRTY(v) (UINT64_C(0xdeadbeef00000000) | (uint32_t)(v))

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);

extern unsigned long refused_flags;   /* of seccomp: an older kernel */
extern unsigned long installed_flags; /* of the last installation */

/* In the first 4 GiB, so that i386 calls reach it, and at the same place in the child. */
extern struct low {
	char a[32], b[32]; /* paths */
	uint64_t how[3];   /* for openat2 */
	char zero[64];
} * low;

#define A ((uint64_t)(uintptr_t)low->a)
#define B ((uint64_t)(uintptr_t)low->b)
#define HOW ((uint64_t)(uintptr_t)low->how)

struct live {
	int nr;
	uint64_t args[6];
	const char *want; /* "operation path path"; NULL: not notified */
	int error;	  /* what the call fails with */
};

/* Makes a call; returns what the kernel does: a negative errno. */
typedef long call_fn(const struct live *l);

long call_native(const struct live *l);

/* For the group of tests. */
int play_set_up(void **state);
int play_tear_down(void **state);

/* After each test: ends the child. */
int end_child(void **state);

/* Plays the calls in a child under the filter, with VU_FILTER_* flags. Skips who is not root. */
void play(unsigned flags, const struct live *l, size_t n, call_fn *call);

#define N(row) (row), VU_ARRAY_SIZE(row)

/* Plays nr, open or openat (at), with each combination of the flags that matter. */
void play_opens(call_fn *call, int nr, bool at);

/* Does the kernel? */
bool knows(int nr);
