/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copy-on-write for a running guest: answers what its processes' filter (cow/filter.h) notifies of. A call that
 * would change a unified file first gives its path a private copy (link/live.h), and then goes on as on any file.
 * Owns its threads; borrows the listener, and all that it works with.
 *
 * The answer is always that the kernel goes on with the call (or an error of making the copy): what the
 * guest made of the arguments meanwhile is of no use to it, for a file that is shared still is immutable. Nothing
 * here is a wall.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cow/budget.h"
#include "cow/names.h"
#include "cow/notify.h"
#include "link/live.h"

struct vu_supervisor;

/*
 * Has anybody in the guest limited himself by Landlock, so that the kernel refuses him what his capabilities would let
 * him do? In rising order.
 */
enum vu_limited {
	VU_LIMITED_NOBODY,
	VU_LIMITED_SOME,    /* those have no_new_privs, which nobody gets rid of */
	VU_LIMITED_ANYBODY, /* may be: one who had not */
};

struct vu_supervisor_env {
	int listener; /* borrowed; or a connection of LXC's monitor in its place (cow/notify.h) */
	struct vu_live *live; /* borrowed; of the file system that the guest is on */
	struct vu_pool *pool; /* borrowed; the same */
	const char *root;     /* path of the guest's root, on the pool's mount, as it is now */
	int root_fd;	      /* the same, open (O_PATH is enough); borrowed */
	uint32_t guest;	      /* its index, for live */
	unsigned threads;     /* that answer; 0 is as 1 */
	/*
	 * The listener waits killably (vu_filter_install, Linux 5.19): a call that is carried out here is not begun
	 * again behind a signal.
	 */
	bool may_act;
	/*
	 * Borrowed; enum vu_limited, in memory as that of slots. Or NULL: nothing is heard of it (VU_FILTER_LANDLOCK), so
	 * that may_act is false.
	 */
	_Atomic uint32_t *limited;
	struct vu_names *names;	  /* borrowed; kept up to date */
	struct vu_budget *budget; /* borrowed; of the guest; or NULL: no limit */
	/*
	 * Borrowed; one for each thread, in memory that outlives this process; or NULL: calls that it has taken
	 * when it is killed wait for ever.
	 */
	struct vu_notify_slot *slots;
};

struct vu_supervisor_stats {
	uint64_t notified; /* calls */
	uint64_t broken;   /* of them: gave a path a private copy */
	uint64_t refused;  /* could not be given one: the call failed */
};

/* Starts its threads. env and what it names outlive it. Returns 0 or a negative errno. */
int vu_supervisor_new(const struct vu_supervisor_env *env, struct vu_supervisor **ret);

/* Ends its threads: each finishes the call that it has at hand. Accepts NULL, returns NULL. */
struct vu_supervisor *vu_supervisor_free(struct vu_supervisor *s);

void vu_supervisor_stats(const struct vu_supervisor *s, struct vu_supervisor_stats *ret);
