/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of kill-processes.c share: where it runs, and what was found to be wrong.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define GUESTS 3

struct run {
	const char *mnt;
	const char *cgroup;  /* a directory of cgroup2 with g1 to g3, or "-" */
	char *const *vunify; /* its program and first arguments */
	int n_vunify;
	unsigned killed; /* enum who; of the last kill */
	unsigned n_kills, n_phases;
	unsigned n_unflagged, n_frozen, n_lost, n_leaked, n_meta;
	uint64_t closed_max_ns;
};

extern struct run run;

/* The writers are processes of their guests, in cgroups of their own. */
static inline bool in_cgroups(void)
{
	return *run.cgroup != '-';
}

_Noreturn void die(const char *what);
void say(const char *what, const char *path);
uint64_t now_ns(void);
void nap_us(unsigned us);

/* From 0 to n - 1. Each process has a row of its own. */
void seed_dice(uint64_t seed);
unsigned dice(unsigned n);
