/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open directories of guests: a small cache for each worker, and the memory of the times that
 * directories had before names in them were replaced. Part of the linker and the breaker.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/event.h"
#include "model/tree.h"

/* An open directory (O_PATH), counted; shared by threads. */
struct vu_dirh {
	int fd;	      /* owned */
	uint32_t dir; /* number in the tree */
	_Atomic unsigned refs;
};

struct vu_dirs {
	const struct vu_tree *tree;
	const struct vu_guests *guests;
	const int *root_fds;
	struct vu_dirh **slot; /* owned; by number modulo n */
	unsigned n;
};

int vu_dirs_init(struct vu_dirs *c, const struct vu_tree *t, const struct vu_guests *guests,
		 const int *root_fds, unsigned n);
void vu_dirs_done(struct vu_dirs *c);

/*
 * The open directory with this number, with a reference for the caller. Returns 0; -ESTALE when
 * another directory is at its path now; or a negative errno.
 */
int vu_dirs_get(struct vu_dirs *c, uint32_t dir, struct vu_dirh **ret);
struct vu_dirh *vu_dirh_unref(struct vu_dirh *h);

/*
 * Opens rel beneath rootfd with flags, however long it is (a path above PATH_MAX in several steps).
 * Returns the fd or a negative errno.
 */
int vu_dirs_open_path(int rootfd, const char *rel, int flags);

/* Times of directories to be put back; one for a run, used by all threads. */
struct vu_touched {
	pthread_mutex_t lock;
	struct vu_touched_dir {
		uint32_t dir;
		uint64_t mtime_ns; /* to be put back */
		uint64_t left_ns;  /* the mtime that the last exchange has left */
		bool foreign;	   /* the guest changed it in between: it keeps its new mtime */
		int err;	   /* it cannot be told any more whether that is so: why; 0 */
	} * v;			   /* owned */
	size_t n, cap;
	uint32_t *index;    /* owned; by the number of the directory: index in v, plus 1 */
	int64_t changed_ns; /* when a directory was last changed by us (base/clock.h); 0: never */
};

/* For directories with numbers below n_dirs. Returns 0 or -ENOMEM; vu_touched_done in any case. */
int vu_touched_init(struct vu_touched *t, uint32_t n_dirs);
void vu_touched_done(struct vu_touched *t);

/*
 * To be called before a name in the directory is replaced: marks it VU_DIR_TOUCHED and, the first
 * time, remembers its mtime if that is what the tree says. Returns 0 or a negative errno.
 */
int vu_touched_add(struct vu_touched *t, struct vu_tree *tree, const struct vu_dirh *h);

/*
 * Around each exchange of a name in the directory: notices whether somebody else has changed it since
 * the exchange before. No other exchange of the run happens in between (the kernel allows one at a time
 * anyway).
 */
void vu_touched_begin(struct vu_touched *t, const struct vu_dirh *h);
void vu_touched_end(struct vu_touched *t, const struct vu_dirh *h);

/*
 * Puts back what can be put back while other threads go on: nothing is told, and vu_touched_restore() is called all the
 * same. For the end of a run, which then waits for the times of directories to settle and for what was replaced
 * at once.
 */
void vu_touched_restore_early(struct vu_touched *t, const struct vu_tree *tree,
			      const struct vu_guests *guests, const int *root_fds);

/*
 * Puts all mtimes back where the guest has changed nothing, in the order of the tree. Directories that
 * are gone are left out; where it does not succeed, a warning goes to sink.
 */
void vu_touched_restore(struct vu_touched *t, const struct vu_tree *tree,
			const struct vu_guests *guests, const int *root_fds,
			const struct vu_sink *sink);
