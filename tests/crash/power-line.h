/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The story that is interrupted: what guests do and which commands are run, one after the other. Each
 * command runs under the tracer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "power-check.h"
#include "power-trace.h"

#define POWER_OPS 8

struct power_line {
	struct power_env *e;
	unsigned seed;
	int n_ops;
	/* the N-th sync of an operation is a lie; op -1: of all; nth -1: all of them */
	struct {
		int op, nth;
	} lies[8];
	int n_lies;
	bool no_noise; /* the file system is left alone between the calls */
	/* asked before each call that counts; may be NULL. True: the program is to be killed. */
	bool (*on_call)(void *arg, int op, uint32_t n);
	void *arg;
	int now_op; /* the operation that runs */
	uint32_t n_calls[POWER_OPS];
	bool stopped; /* on_call has said so: the story ends */
};

/* "main", "reflink" or "evict". Fills ops. 0, or -EINVAL. */
int power_line_choose(struct power_line *l, const char *name);

/* Tells the story on what is mounted at mnt. 0, or a negative errno when something failed by itself. */
int power_line_tell(struct power_line *l);
