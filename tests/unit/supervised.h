/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of cow/supervisor.h: a farm (link-farm.h) with a supervisor, and in the root of one of its guests a
 * process under the filter that makes calls as it is told. cmocka's headers come before this one.
 *
 * A process whose call nobody answers waits for ever: the teardown (supervised_end) kills it, and the kernel does
 * when the test ends. It has a mount namespace of its own, with a /proc.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cow/names.h"
#include "cow/supervisor.h"
#include "link-farm.h"

#define SUPERVISED 1		 /* the index of the guest */
#define SUPERVISED_WAIT_MS 20000 /* for an answer: the machine may be busy */

struct supervised_want {
	unsigned filter; /* enum vu_filter_flag */
	unsigned threads;
	uint32_t uid, gid; /* of the process; without groups and capabilities, if not 0 */
	bool pivot; /* as in a container: the root is a mount of its own, and the PID namespace */
	bool by_copies; /* not may_act */
	bool interruptible; /* any signal ends the wait for an answer, as with runtimes; by_copies goes with it */
	uint32_t names_max; /* or 0 */
	bool later;	    /* supervised_serve is called by the test */
};

struct supervised {
	struct farm *f;
	char *root; /* owned */
	struct vu_pool *pool;
	struct vu_live_env live_env;
	struct vu_live *live;
	struct vu_supervisor_env env;
	struct vu_names *names; /* empty at first */
	struct vu_supervisor *supervisor;
	pid_t pid;
	int listener; /* owned */
	int orders, answers;
};

extern struct supervised now_supervised;

/*
 * What the process is to do: a function of the test, with arguments that were there when it was started (but for
 * dir, which is passed on). Returns 0 or more, or a negative errno. Nothing of cmocka may be called.
 */
typedef long supervised_fn(const char *dir, const void *arg);

/* The farm is linked already. */
void supervised_start(struct farm *f, const struct supervised_want *want);

/* Starts the supervisor. */
void supervised_serve(void);

/* Ends it; the listener stays open. */
void supervised_stop(void);

/* Has the process do something, and waits for the end of it. */
long supervised_do(supervised_fn *fn, const char *dir, const void *arg);

/* The same in two steps. supervised_done: -ETIMEDOUT after that time; -ESRCH when the process has ended. */
void supervised_order(supervised_fn *fn, const char *dir, const void *arg);
long supervised_done(int timeout_ms);

/* Also after a failed assertion. With clean_up. */
int supervised_end(void **state);
