/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to replaced files: they wait at their temporary names, leased, for the grace time (for
 * openers on their way to them), are looked at again, and are freed, in a thread of its own because
 * freeing blocks is half the work of linking; or they are put back. Part of the linker; one for each
 * worker.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "link/target.h"

struct vu_reaper {
	struct vu_linkrun *run;
	unsigned max; /* names on their way at most */
	pthread_t thread;
	bool threaded; /* false: the worker does it itself when it waits */
	pthread_mutex_t lock;
	pthread_cond_t more; /* something came, or quit */
	pthread_cond_t less; /* something went */
	struct vu_target *head, **tail;
	unsigned n_names; /* in the queue and in hand */
	bool quit;
};

/* Starts it. max: names on their way at most. */
void vu_reaper_start(struct vu_reaper *r, struct vu_linkrun *run, unsigned max);

/* Waits until n more names have room beside held others of the caller's. */
void vu_reaper_room(struct vu_reaper *r, unsigned n, unsigned held);

/* Takes a moved target over. */
void vu_reaper_push(struct vu_reaper *r, struct vu_target *t);

/* Waits until everything is freed or put back. */
void vu_reaper_drain(struct vu_reaper *r);

/* Drains and ends the thread. */
void vu_reaper_stop(struct vu_reaper *r);
