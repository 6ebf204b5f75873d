/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of cow/serve.h share: the server, the call at hand, and where its names are. Nobody else includes it.
 *
 *   serve.c        takes a call, looks quickly, answers
 *   serve-find.c   finds the object at a path, and the directory of it
 *   serve-copy.c   gives a path a private copy
 *   serve-names.c  carries out what only changes names
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "cow/caller.h"
#include "cow/serve.h"
#include "cow/view.h"
#include "fs/stat.h"
#include "link/live.h"

/* Where the last name of a path is, by the guest's mount. */
struct vu_serve_seen {
	int dir;      /* owned; O_PATH; below 0: it was not looked for so, or not found */
	bool by_text; /* in the directory that the path names, and not where a symlink leads */
	char base[NAME_MAX + 1];
	struct vu_stat parent; /* of dir */
};

/* The call at hand. */
struct vu_serve_job {
	uint64_t id;
	pid_t tid;
	struct vu_call call;
	struct vu_serve_seen seen[2];
	struct vu_caller caller;
	bool has_caller;
	bool is_root; /* the same for sure */
};

struct vu_server {
	const struct vu_supervisor_env *env;
	const struct vu_call_numbers *numbers;
	struct vu_notify *notify;
	struct vu_supervisor_stats *stats;
	struct vu_live_worker *worker; /* owned */
	struct vu_view *view;	       /* owned */
	int proc;		       /* owned; the host's /proc */
	struct vu_caller_ours ours;
	char *text[2]; /* owned; the paths of the call at hand, PATH_MAX each */
	struct vu_serve_job job;
	/* the directory by the pool's mount that was needed last: the next object is often beside */
	struct {
		int fd; /* owned; keeps the inode's number from being another's */
		uint64_t dev, ino;
	} place;
	bool meets_objects; /* the last call about a name did */
	bool lost;	    /* it cannot get out of the guest's root */
};

/* Where a name is, or is to be. */
struct vu_serve_spot {
	int dir; /* owned; by the pool's mount; -EBADF */
	char base[NAME_MAX + 1];
	char *rel;	       /* owned; relative to the guest's root */
	struct vu_stat parent; /* the directory as the guest sees it */
	bool read_only;	       /* by the guest's mount */
};

/* What is at a path of the call. */
struct vu_serve_found {
	struct vu_stat st;
	struct vu_key key;
	struct vu_serve_spot spot;
};

void vu_serve_spot_done(struct vu_serve_spot *s);
VU_DEFINE_CLEANUP_DONE(struct vu_serve_spot, vu_serve_spot_done)
void vu_serve_found_done(struct vu_serve_found *f);
VU_DEFINE_CLEANUP_DONE(struct vu_serve_found, vu_serve_found_done)

#define VU_SERVE_AGAIN 2 /* the guest changed it meanwhile */

/* The path as it was read; NULL where the call means a descriptor. */
const char *vu_serve_text(const struct vu_server *v, unsigned i);

/* Out of the guest's root: in it nothing else is to be done. */
void vu_serve_leave(struct vu_server *v);

/*
 * Is an object at the i-th path, wherever its symlinks lead? Returns 1 with all that is known of it, 0,
 * VU_SERVE_AGAIN, or a negative errno. The thread is in the host's root afterwards. seen[i] is the directory by the
 * guest's mount.
 */
int vu_serve_find(struct vu_server *v, unsigned i, struct vu_serve_found *ret);

/* The same of the last name of the path itself, which no symlink is followed from. */
int vu_serve_find_name(struct vu_server *v, unsigned i, struct vu_serve_found *ret);

/*
 * Where the last name of the path is, or is to be. ret_st: what it is; NULL where it need not be there. near: another
 * spot of the call, or NULL. Returns 0, VU_LIVE_BUSY or a negative errno. The thread is in the host's root afterwards.
 */
int vu_serve_find_place(struct vu_server *v, unsigned i, const struct vu_serve_spot *near,
			struct vu_serve_spot *ret, struct vu_stat *ret_st);

/*
 * Looks for the directory of the i-th path's last name, unless that was done: fills seen[i]. Returns seen[i].dir
 * (borrowed) or a negative errno, as vu_view_resolve_dir.
 */
int vu_serve_dir(struct vu_server *v, unsigned i, enum vu_view_how how);

/* Who makes the call. Returns whether he was to be seen. */
bool vu_serve_read_caller(struct vu_server *v);

/* Is it somebody whom the kernel lets change names anywhere? */
bool vu_serve_is_root(struct vu_server *v);

/* May the kernel refuse him more than his capabilities tell (Landlock)? */
bool vu_serve_is_limited(struct vu_server *v);

/* Gives the i-th path a private copy. Returns 0, or a negative errno for the guest. */
int vu_serve_copy(struct vu_server *v, unsigned i);

enum vu_serve_outcome {
	VU_SERVE_NOT_DONE = 0, /* it is none of those, or not to be done here */
	VU_SERVE_DONE = 1,
};

/* Carries out a call that only changes names. Returns an outcome, or a negative errno for the guest. */
int vu_serve_names(struct vu_server *v);
