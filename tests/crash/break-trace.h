/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls by which a supervisor's worker answers one notification: the thread that answers it is traced, and
 * stopped before its N-th call. Part of break-calls.c.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "inject.h"

#define TRACE_THREADS 16

struct traced {
	pid_t tid; /* 0: free */
	bool entered;
	struct call call; /* the last one that it entered */
	bool receives;	  /* that is: waits for a notification */
	bool fails;	  /* it is not carried out */
	bool aimed;	  /* it is to be stopped at its end */
};

struct trace {
	pid_t worker;
	struct traced v[TRACE_THREADS];
	struct traced *server; /* who answers; NULL: nobody yet */
	bool sent;	       /* it has given the answer */
	bool done;	       /* it waits for the next notification */
	/* the call (nr -1: none), and which one of them; with err it fails. ever: and all such from then on */
	struct call aim;
	unsigned nth, n_aim;
	int err;
	bool ever, behind, hit; /* behind: it is stopped at its end */
};

/* Begins to trace all threads of it; t holds what is aimed at, and zeros. False: it is ending. */
bool trace_begin(struct trace *t, pid_t worker);

/*
 * Looks for what has happened, and lets threads go on, but for the server before the call that is aimed at, if it is
 * not to fail. Returns true when that is reached: it waits for trace_go_on. Returns at once if nothing has happened.
 */
bool trace_step(struct trace *t, void (*seen)(void *arg, struct call c), void *arg);
void trace_go_on(struct trace *t);

/* They run on as if nobody had looked. */
void trace_end(struct trace *t);

/* It was killed: takes note of it. */
void trace_reap(struct trace *t);
