/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What moments leave behind. Replaced files: they wait at their temporary names, leased, for the grace
 * time (for openers on their way to them), are looked at again, and are freed, in a thread of its own because
 * freeing blocks is half the work of linking; or they are put back, at once when somebody waits for one.
 * And hot objects (link/moment.h), which are cooled. Part of the linker; one for each worker.
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
	pid_t tid;     /* of the thread */
	pthread_mutex_t lock;
	pthread_cond_t less;		   /* something went */
	pthread_cond_t there;		   /* tid is known */
	struct vu_target *head, **tail;	   /* in the order in which they are due */
	unsigned n_names;		   /* in the queue and in hand */
	unsigned n_urgent;		   /* in the queue */
	struct vu_object *hot[VU_HOT_MAX]; /* owned references */
	unsigned n_hot;
	uint64_t cool_ns;   /* when the hot objects are to be looked at next */
	uint64_t late_ns;   /* how long the thread waited for a processor lately */
	uint64_t waited_ns; /* and in all */
	bool asleep, quit;
};

/* Starts it. max: names on their way at most. */
void vu_reaper_start(struct vu_reaper *r, struct vu_linkrun *run, unsigned max);

/*
 * Have n more names room beside held others of the caller's? With none held it waits until they have; else
 * it does not, for somebody may wait for those.
 */
bool vu_reaper_room(struct vu_reaper *r, unsigned n, unsigned held);

/* Ends a moment as vu_moment_end does; whoever came into it is seen to by the reaper. */
int vu_reaper_end_moment(struct vu_reaper *r, struct vu_object *o, int twin);

/* Between moments: vu_moment_look at an object of the caller's. */
void vu_reaper_look(struct vu_reaper *r, struct vu_object *o);

/* Takes a moved target over. */
void vu_reaper_push(struct vu_reaper *r, struct vu_target *t);

/* Waits until everything is freed or put back, and no object is hot. */
void vu_reaper_drain(struct vu_reaper *r);

/* Drains and ends the thread. */
void vu_reaper_stop(struct vu_reaper *r);
