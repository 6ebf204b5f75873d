/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A `vunify run` with break-guest in the guest g1, and who serves it. Part of break-calls.c. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "break-ops.h"

struct break_run {
	char *const *vunify; /* its program and first arguments */
	int n_vunify;
	const char *said; /* file that gets what it says */
	pid_t front;	  /* 0: it does not run */
	int to, from;	  /* orders, answers */
};

/* Runs vunify with these words, up to a NULL, to its end; its exit code. */
int vunify_do(const struct break_run *r, const char *const *words);

/* Returns when the guest is ready. */
void run_start(struct break_run *r);
/* Returns its exit code. */
int run_end(struct break_run *r);
/* Kills all three of its processes at once. */
void run_kill(const struct break_run *r);
/* Behind that: waits for those of the guest. */
void run_reap(struct break_run *r);

pid_t run_guardian(const struct break_run *r);
/* Who serves now; waits for it. 0: nobody does any more. */
pid_t run_worker(const struct break_run *r);
/* Its first thread waits for what is to come: all others have been made. */
bool run_is_ready(pid_t worker);

void run_order(struct break_run *r, enum break_op op, unsigned number);
void run_say(struct break_run *r, const char *what);
/* The next line that it says, without waiting, or for that long. false: none. */
bool run_hear(struct break_run *r, int timeout_ms, char line[64]);
