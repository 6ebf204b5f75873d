/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For build-cov alone, included before each source: a child that ends by _exit() writes its counters. */
#pragma once

#include <unistd.h>

void __gcov_dump(void);

static inline _Noreturn void gcov_exit(int code)
{
	__gcov_dump();
	_exit(code);
}

#define _exit gcov_exit
