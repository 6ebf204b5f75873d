/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool of a file system: the directory `.vunify` at the top of the mount that the guests are on,
 * which holds one name of every object, the names that are on their way (stage), and the journal.
 * Owns the layout; knows nothing of guests. Membership in the pool, not the immutable flag, says that
 * an inode is an object. One linker at a time works on a pool: whoever opens it with VU_POOL_CREATE
 * holds its lock. Listing and opening objects: any thread; the rest: see each function.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fs/stat.h"
#include "link/claim.h"
#include "model/key.h"

struct vu_pool;

enum vu_pool_flag {
	VU_POOL_LOOK = 0, /* only look: no lock, nothing is made; the probe is by type alone */
	VU_POOL_CREATE =
		1 << 0,		/* make it if missing, lock it, probe what the file system can do */
	VU_POOL_SHARE = 1 << 1, /* to break links, beside a linker (link/claim.h): no lock */
};

enum vu_pool_e {
	VU_POOL_MISSING = 1, /* there is none (only with VU_POOL_LOOK) */
	VU_POOL_INSIDE_GUEST, /* the guest's root is the mount's root: the pool would be in the guest */
	VU_POOL_UNSUITABLE, /* the file system, or this process, cannot do what linking needs */
	VU_POOL_BUSY,	    /* another linker works on it */
	VU_POOL_UNSAFE,	    /* what is there is not a directory of root's alone */
};

/*
 * Opens the pool of the mount that the open directory root_fd (a guest's root; borrowed) is on.
 * Returns 0; an enum vu_pool_e; or a negative errno. ret_why gets a text (owned by the caller) saying
 * what is wrong, for VU_POOL_UNSUITABLE and VU_POOL_UNSAFE, or stays NULL.
 */
int vu_pool_open(int root_fd, unsigned flags, struct vu_pool **ret, char **ret_why);

/* The same by the path of the mount point, for who has no guest at hand. */
int vu_pool_open_path(const char *mount_point, unsigned flags, struct vu_pool **ret,
		      char **ret_why);

/* Closes it, giving back the lock. Accepts NULL, returns NULL. */
struct vu_pool *vu_pool_close(struct vu_pool *p);

/*
 * Calls fn for every object, in no order, with its inode number (from the directory, without a statx)
 * and its key, until it returns non-zero, which is returned; else 0 or a negative errno. fn may open,
 * but not remove, objects.
 */
int vu_pool_list(const struct vu_pool *p, int (*fn)(void *arg, uint64_t ino, const struct vu_key *),
		 void *arg);

/*
 * Opens an object for reading (O_NOATIME). Returns the fd; -ENOENT; -ESTALE when something else than
 * a regular file has the name; or a negative errno.
 */
int vu_pool_object_open(const struct vu_pool *p, const struct vu_key *key);

/* The same, and says what was opened: ret_st is written when an fd is returned. */
int vu_pool_object_open_stat(const struct vu_pool *p, const struct vu_key *key,
			     struct vu_stat *ret_st);

/*
 * Gives the inode behind fd the name of an object. Returns 0, -EEXIST, or what vu_link_fd returns.
 * Any thread.
 */
int vu_pool_object_link(const struct vu_pool *p, const struct vu_key *key, int fd);

/*
 * Takes the name of an object away, whoever else has it. The inode must not be immutable. Returns 0
 * or a negative errno. Any thread.
 */
int vu_pool_object_unlink(const struct vu_pool *p, const struct vu_key *key);

/*
 * Removes an object whose only name is the pool's: lease, flag off, name away. Returns 0; -EBUSY when
 * it has other names, is open for writing, is to be evicted, or is claimed by another process; or a negative
 * errno. With VU_POOL_CREATE or VU_POOL_SHARE; the caller must not have it claimed.
 */
int vu_pool_object_remove(const struct vu_pool *p, const struct vu_key *key);

/* The same for who closes up what a dead process had claimed, whose claims it holds (link/guardian.h). */
int vu_pool_object_remove_claimed(const struct vu_pool *p, const struct vu_key *key);

/* Has somebody got it open for writing, and is it to be evicted (link/slip.h)? Any thread. */
bool vu_pool_object_slipped(const struct vu_pool *p, const struct vu_key *key);

/* The first generation from *key's on that no object of the same hash has; written to *key. */
int vu_pool_generation_next(const struct vu_pool *p, struct vu_key *key);

/*
 * Removes the pool from the disk, if it holds no object, nothing on its way and nothing rescued. It can
 * only be closed afterwards. Returns 1 when it is gone, 0 when something is left, or a negative errno.
 * Holds VU_POOL_CREATE's lock.
 */
int vu_pool_dissolve(const struct vu_pool *p);

/* st_dev of the file system, and the mount point (borrowed). */
uint64_t vu_pool_dev(const struct vu_pool *p);

/* The superblock's device, which /proc/locks shows; on btrfs it is another. */
uint64_t vu_pool_super_dev(const struct vu_pool *p);
const char *vu_pool_mount_point(const struct vu_pool *p);

/* Can a descriptor that slipped in write to an immutable inode (everywhere but on ext4)? */
bool vu_pool_slip_writes(const struct vu_pool *p);

/* All data and metadata of the file system on disk: syncfs(2). Returns 0 or a negative errno. */
int vu_pool_sync(const struct vu_pool *p);

/* ---- for lib/link ---- */

/* Who works on which object. */
struct vu_claims *vu_pool_claims(const struct vu_pool *p);

/* The open directories .vunify and .vunify/stage; borrowed. */
int vu_pool_fd(const struct vu_pool *p);
int vu_pool_stage_fd(const struct vu_pool *p);

/* Opens (makes) the stage directory of worker n; the caller owns the fd. Or a negative errno. */
int vu_pool_stage_open(const struct vu_pool *p, unsigned n);

/* Removes it; it must be empty. */
void vu_pool_stage_remove(const struct vu_pool *p, unsigned n);

/*
 * Moves name of the stage directory stage_fd to .vunify/rescued/, where nothing is ever removed:
 * content that belongs nowhere else and must not be lost. Returns 0 and the path relative to the
 * mount point (owned by the caller), or a negative errno.
 */
int vu_pool_rescue(const struct vu_pool *p, int stage_fd, const char *name, char **ret_path);

/* The same with an object, which is none any more then; it must not be immutable. */
int vu_pool_object_rescue(const struct vu_pool *p, const struct vu_key *key, char **ret_path);

/*
 * Opens a further directory of the pool; make: makes it first. The caller owns the fd. Returns it, or a
 * negative errno (-ENOENT). Any thread.
 */
int vu_pool_part_open(const struct vu_pool *p, const char *name, bool make);
