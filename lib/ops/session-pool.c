/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of a session that opens the pools. */
#include <errno.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "fs/stat.h"
#include "ops/session.h"

static int refuse_fs(struct vu_session *s, const struct vu_session_fs *fs, const char *why,
		     const char *todo)
{
	return vu_fail(s->ops, VU_OPS_REFUSED, "cannot unify on the file system", fs->mount.point,
		       why, todo);
}

static const char *reflink_hint(const struct vu_session_fs *fs)
{
	return vu_mount_can_reflink(&fs->mount) ? "use --mode=reflink, which saves disk only"
						: "unify guests on ext4, XFS or btrfs";
}

/* root_fd: of a guest; -EBADF: there is none, and the mount point says where. */
static int open_pool(struct vu_session *s, struct vu_session_fs *fs, int root_fd, unsigned flags)
{
	_cleanup_free_ char *why = NULL;
	int r = root_fd < 0 ? vu_pool_open_path(fs->mount.point, flags, &fs->pool, &why)
			    : vu_pool_open(root_fd, flags, &fs->pool, &why);

	switch (r) {
	case 0:
	case VU_POOL_MISSING:
		return 0;
	case VU_POOL_UNSUITABLE:
		return refuse_fs(s, fs, why, reflink_hint(fs));
	case VU_POOL_BUSY:
		return vu_fail(s->ops, VU_OPS_LOCKED, "cannot work with the pool on",
			       fs->mount.point, "another vunify works with it",
			       "wait until it has ended");
	case -ENOSPC:
	case -EDQUOT:
		return vu_fail(s->ops, VU_OPS_NO_SPACE, "cannot make the pool on", fs->mount.point,
			       strerror(-r), "free some space and run it again; nothing is lost");
	default:
		return vu_fail(s->ops, r > 0 ? VU_OPS_REFUSED : r, "cannot open the pool on",
			       fs->mount.point,
			       why     ? why
			       : r < 0 ? strerror(-r)
				       : NULL,
			       NULL);
	}
}

/* What the pool of a file system can be for this guest of it. */
static int check_root(struct vu_session *s, size_t guest)
{
	struct vu_session_fs *fs = &s->fs[s->guest_fs[guest]];
	struct vu_stat st;
	int r = vu_stat_fd(s->root_fds[guest], &st);

	if (r)
		return r;
	if (st.attributes & STATX_ATTR_MOUNT_ROOT)
		return vu_fail(
			s->ops, VU_OPS_REFUSED, "cannot unify the guest", s->guests.v[guest].name,
			"its root is the mount point itself, so the pool would lie inside of the "
			"guest",
			"put the guests into directories of one file system");
	if (fs->pool && vu_pool_dev(fs->pool) != st.version.dev)
		return vu_fail(
			s->ops, VU_OPS_REFUSED, "cannot unify the guest", s->guests.v[guest].name,
			"it is in another subvolume than the top of its mount, and hard links "
			"do not cross subvolumes",
			"put the guests into directories of one subvolume, or use "
			"--mode=reflink, which saves disk only");
	return 0;
}

int vu_session_open_pools(struct vu_session *s, bool make)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->guests.n; i++)
		r = check_root(s, i);
	for (size_t i = 0; !r && i < s->guests.n; i++) {
		struct vu_session_fs *fs = &s->fs[s->guest_fs[i]];

		if (!fs->pool)
			r = open_pool(s, fs, s->root_fds[i], make ? VU_POOL_CREATE : VU_POOL_LOOK);
		if (!r)
			r = check_root(s, i);
	}
	return r;
}

/* Can nothing on this guest's file system be unified, whatever a scan would do? */
static bool has_no_pool(const struct vu_session *s, size_t guest)
{
	const struct vu_mount *m = &s->fs[s->guest_fs[guest]].mount;
	struct vu_stat st;
	struct stat top;

	if (!vu_mount_can_link(m))
		return true;
	if (vu_stat_fd(s->root_fds[guest], &st) || stat(m->point, &top))
		return false;
	/* a subvolume of its own has another number than the top of its mount */
	return st.attributes & STATX_ATTR_MOUNT_ROOT || top.st_dev != st.version.dev;
}

int vu_session_find_pools(struct vu_session *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->guests.n; i++) {
		struct vu_session_fs *fs = &s->fs[s->guest_fs[i]];

		if (!fs->pool && !has_no_pool(s, i))
			r = open_pool(s, fs, s->root_fds[i], VU_POOL_LOOK);
	}
	return r;
}

/* Makes the pool of a file system where there is none; somebody else may just do that. */
static int make_pool(struct vu_session *s, struct vu_session_fs *fs, int root_fd)
{
	int r = open_pool(s, fs, root_fd, VU_POOL_CREATE);

	fs->pool = vu_pool_close(fs->pool);
	if (r != VU_OPS_LOCKED)
		return r;
	vu_problem_done(s->ops->problem);
	return 0;
}

int vu_session_make_pool(struct vu_session *s, int dir, uint8_t *ret_fs)
{
	uint8_t i = 0;
	int r = vu_session_find_fs(s, dir, &i);
	struct vu_session_fs *fs = r ? NULL : &s->fs[i];

	if (r)
		return r;
	if (fs->mount.read_only)
		return refuse_fs(s, fs, "it is mounted read-only", "remount it read-write");
	if (!vu_mount_can_link(&fs->mount))
		return refuse_fs(s, fs,
				 "it cannot hold what unifying needs: immutable files, leases and "
				 "hard links between guests",
				 "keep the guests on ext4, XFS or btrfs");
	r = open_pool(s, fs, -EBADF, VU_POOL_CREATE);
	fs->locked = !r;
	*ret_fs = i;
	return r;
}

int vu_session_share_pools(struct vu_session *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->guests.n; i++) {
		struct vu_session_fs *fs = &s->fs[s->guest_fs[i]];

		if (has_no_pool(s, i))
			continue;
		fs->pool = vu_pool_close(fs->pool);
		r = open_pool(s, fs, s->root_fds[i], VU_POOL_SHARE);
		if (!r && !fs->pool)
			r = make_pool(s, fs, s->root_fds[i]);
		if (!r && !fs->pool)
			r = open_pool(s, fs, s->root_fds[i], VU_POOL_SHARE);
	}
	return r;
}

int vu_session_lock_pools(struct vu_session *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->guests.n; i++) {
		struct vu_session_fs *fs = &s->fs[s->guest_fs[i]];

		if (!fs->pool || fs->locked)
			continue;
		fs->pool = vu_pool_close(fs->pool);
		r = open_pool(s, fs, s->root_fds[i], VU_POOL_CREATE);
		fs->locked = !r;
	}
	return r;
}
