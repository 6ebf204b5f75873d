/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that fail with EIO, and what a guest does at an exchange. A test that uses it is linked with --wrap of
 * each call that is in call-fails.c (tests/unit/meson.build); until fail_call they are made as ever.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The n-th call from now on, counted from 0; and all of its kind after it. */
void fail_call(int n, bool ever);
/* Nothing fails any more. Returns which call has failed, or NULL. */
const char *fail_none(void);

/* What is done at the exchange of one name, once. */
struct at {
	uint64_t dir; /* inode of its directory; 0: nothing is done, or it has been */
	const char *base;
	void (*before)(void); /* the guest does this, or NULL */
	bool dies;	      /* the run is killed behind it */
	int held; /* who has this file open changes its mode when it was moved; 0: nobody */
};

extern struct at at;
