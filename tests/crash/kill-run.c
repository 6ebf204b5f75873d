/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kill-run.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct run run;
static uint64_t rng;

_Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

void say(const char *what, const char *path)
{
	fprintf(stderr, "%s: %s (kill %u of %u)\n", what, path, run.n_kills, run.killed);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void nap_us(unsigned us)
{
	nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000L}, NULL);
}

void seed_dice(uint64_t seed)
{
	rng += seed;
}

unsigned dice(unsigned n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((rng >> 33) % n);
}
