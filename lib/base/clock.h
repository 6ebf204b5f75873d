/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The time since some moment in the past, which nobody sets (CLOCK_MONOTONIC). Threads: any. */
#pragma once

#include <stdint.h>
#include <time.h>

static inline int64_t vu_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t vu_clock_ms(void)
{
	return vu_clock_ns() / 1000000;
}
