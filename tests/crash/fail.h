/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver itself cannot go on: not a result of the test. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define fail(...)                                                                                  \
	do {                                                                                       \
		fprintf(stderr, "every-call: " __VA_ARGS__);                                       \
		fputc('\n', stderr);                                                               \
		exit(70);                                                                          \
	} while (0)
