/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a program and stops it whenever one of its threads is about to change a file system, or to wait
 * for it to be on disk: at each of these instants something can be done, and the call be left out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum power_act {
	POWER_GO,   /* the call is made */
	POWER_LIE,  /* it is not made, and the program is told that it succeeded */
	POWER_KILL, /* the program is killed before it */
};

struct power_trace {
	const char *const *argv;
	const char *output; /* file for stdout and stderr */
	dev_t dev;	    /* only calls on this file system count */
	dev_t other;	    /* what it writes there is told by on_other */
	/* n: how many calls there were before; sync: how many of those were syncs, -1: is none */
	enum power_act (*on_call)(void *arg, uint32_t n, int sync, long nr);
	void (*on_other)(void *arg);
	void *arg;
};

/* Returns the exit status, or -1 if it was killed, or -2: it could not be run. */
int power_trace_run(const struct power_trace *t);
