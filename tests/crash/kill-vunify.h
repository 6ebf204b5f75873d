/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vunify's three processes: the front, its guardian, and the worker; how they are found, stopped at a
 * system call of a moment, and killed. Part of kill-processes.c.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

enum who {
	FRONT = 1,
	GUARDIAN = 2,
	WORKER = 4,
	ALL = FRONT | GUARDIAN | WORKER
};

struct vunify {
	pid_t front, guardian, worker;
};

/* Begins this verb on all guests; what it says goes to vunify-said. */
pid_t start(const char *verb);

/* And waits until all its processes are there. */
void start_all(const char *verb, struct vunify *ret);

/* It may have done all it had to before it could be killed. */
bool is_running(pid_t pid);

/* who: of enum who. */
void kill_them(unsigned who, const struct vunify *v);

/* Waits for the end of all but the writers: orphans come here. */
void reap_all(void);

/* Begins to trace the worker. */
bool attach(pid_t worker);

/*
 * Lets the worker, which is traced, run until it enters its n-th such call (0: to its end). Returns how
 * many it entered; ret_stopped is the thread that was stopped in one, or 0.
 */
unsigned run_to(pid_t worker, unsigned n, pid_t *ret_stopped);
/* Lets a thread that was stopped so go on. */
void go_on(pid_t stopped);
