/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clocks. Threads: any. */
#pragma once

#include <stdint.h>
#include <time.h>

/* The time since some moment in the past, which nobody sets (CLOCK_MONOTONIC). */
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

/* The time of day, in ns since 1970, which admins set (CLOCK_REALTIME): files are stamped by it. */
static inline uint64_t vu_clock_real_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}
