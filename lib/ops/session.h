/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every use-case that works on guests needs, opened once: the lock, the catalog, the guests with
 * their open roots, their file systems with their pools. Refuses what is unsafe before anything is
 * read. Belongs to the coordinating thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inomap.h"
#include "db/catalog.h"
#include "fs/mount.h"
#include "link/pool.h"
#include "model/guest.h"
#include "ops/context.h"

enum vu_session_flag {
	VU_SESSION_WRITE = 1 << 0,	/* takes the lock and opens the catalog for writing */
	VU_SESSION_REGISTER = 1 << 1,	/* operands may be no guests yet: see vu_session_register */
	VU_SESSION_NO_CATALOG = 1 << 2, /* a missing or damaged catalog does not matter */
	VU_SESSION_REBUILD = 1 << 3,	/* makes a new catalog first; no guest need be registered */
	VU_SESSION_REBUILD_DRY = 1 << 4, /* only says what that would keep, and goes on without */
	VU_SESSION_LEAVE_OUT =
		1 << 5, /* roots that are gone: also those of guests that were named */
};

struct vu_session_fs {
	struct vu_mount mount;
	struct vu_pool *pool; /* owned; NULL while there is none */
	bool locked;	      /* by vu_session_lock_pools */
	bool borrowed;	      /* the pool is another session's */
};

struct vu_session {
	struct vu_ops *ops; /* borrowed */
	struct vu_sink
		counting; /* counts warnings and damage, then passes on to the caller's sink */
	int lock_fd;
	struct vu_catalog *catalog; /* owned; NULL with NO_CATALOG where there is none */
	bool without;		    /* NO_CATALOG: whatever fails in it does not matter */
	bool reads; /* without the lock: what it knows of guests is from the moment it was opened */
	struct vu_guests known;	  /* of a reader */
	int known_result;	  /* what came of reading them */
	struct vu_guests guests;  /* of this run */
	int *root_fds;		  /* owned; one for each guest: O_PATH | O_DIRECTORY */
	uint8_t *guest_fs;	  /* owned; one for each guest: index in fs */
	struct vu_session_fs *fs; /* owned */
	size_t n_fs;
	uint64_t warnings;
	uint64_t damages;
};

/*
 * Opens a session for operands (names or roots; n 0: all registered guests). Roots that are gone are
 * told as warnings and left out, unless they were named (and then with LEAVE_OUT). Returns 0, an enum vu_ops_e
 * with ops->problem filled, or a negative errno (problem filled too). s must be closed in any case.
 */
int vu_session_open(struct vu_session *s, struct vu_ops *ops, unsigned flags, char *const *operands,
		    size_t n);

/*
 * Registers the guests of the session that are new, once nothing speaks against them. Returns like
 * vu_session_open.
 */
int vu_session_register(struct vu_session *s);

/*
 * Opens only the lock (with VU_SESSION_WRITE) and the catalog. For what needs no guest to be there.
 * Returns like vu_session_open; s must be closed in any case.
 */
int vu_session_open_catalog(struct vu_session *s, struct vu_ops *ops, unsigned flags);

/*
 * The first file system of the run with which this one can share what the mode shares: with hard links
 * only itself; with shared extents the first of its superblock, which btrfs's subvolumes have in common.
 */
uint8_t vu_session_shares_with(const struct vu_session *s, uint8_t fs);

/* All registered guests. Returns 0, VU_OPS_DAMAGED or a negative errno, with the problem filled. */
int vu_session_known_guests(struct vu_session *s, struct vu_guests *ret);

/*
 * Makes the guest of a root, without registering it: a copy of the known one with its id, or a new one
 * with id 0 and a name of its own. Returns 0, or a negative errno with the problem filled.
 */
int vu_session_make_guest(struct vu_session *s, const struct vu_guests *known, const char *root,
			  struct vu_guest *ret);

/* Fills the problem for a failed call on the catalog (r as it came), and returns the ops code. */
int vu_session_catalog_failed(struct vu_session *s, int r);

/*
 * The same where the session can go on without it: the catalog is closed, that is told as a warning, and
 * 0 returned.
 */
int vu_session_catalog_lost(struct vu_session *s, int r);

/*
 * Opens the pools of the session's file systems, to unify there; make: makes and probes them where
 * missing. Refuses file systems that can have none.
 */
int vu_session_open_pools(struct vu_session *s, bool make);

/* Opens the pools that are there, to look at them or to undo: where there can be none, nothing is. */
int vu_session_find_pools(struct vu_session *s);

/*
 * Opens the pool, making it where there is none, of the file system that the open directory dir is on, which
 * may be the mount's top; for what is to be a guest there. *ret_fs: its index in fs. Refuses file systems that
 * can have none. Returns like vu_session_open.
 */
int vu_session_make_pool(struct vu_session *s, int dir, uint8_t *ret_fs);

/* The index in fs of the file system of an open directory, which is added. Returns 0 or a negative errno. */
int vu_session_find_fs(struct vu_session *s, int dir, uint8_t *ret_fs);

/*
 * Opens a session beside another one, which outlives it: all guests that `of` has or the catalog knows
 * (roots that are gone are told and left out), with the pools of `of` and its sink, no lock and no
 * catalog. For what must find names in guests that are no part of the run. Returns like
 * vu_session_open; s must be closed in any case.
 */
int vu_session_open_beside(struct vu_session *s, struct vu_session *of);

/*
 * Opens the pools to break links there beside others (VU_POOL_SHARE); makes those that are missing. Where there
 * can be none, none is. Returns like vu_session_open.
 */
int vu_session_share_pools(struct vu_session *s);

/* Takes the locks of the pools that are there, to change them. Returns like vu_session_open. */
int vu_session_lock_pools(struct vu_session *s);

/*
 * Refuses guests in which a process could lift the immutable flag (guest/procs.h), or reach a pool or
 * the catalog (guest/reach.h).
 */
int vu_session_check_trust(struct vu_session *s, bool trust_guests);

/* Closes and frees everything. Accepts a zeroed struct; may be called twice. */
void vu_session_close(struct vu_session *s);

/*
 * Fills the problem and returns code: `return vu_session_fail(s->ops, VU_OPS_REFUSED, ...)`. why may be
 * NULL with a negative errno as code: its text is taken. todo may be NULL. For want of memory or
 * descriptors what helps is said in its place.
 */
int vu_fail(const struct vu_ops *ops, int code, const char *what, const char *on, const char *why,
	    const char *todo);
