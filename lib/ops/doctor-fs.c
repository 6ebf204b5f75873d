/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor's look at a file system, and at its pool. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "db/catalog-check.h"
#include "fs/lease.h"
#include "link/probe.h"
#include "link/recover.h"
#include "ops/damage.h"
#include "ops/doctor-int.h"

#define LINKS_NEAR 57600 /* of 64,000, which a scan gives an object at most */
#define LEASE_BREAK_NS_MIN UINT64_C(5000000000)

VU_DEFINE_CLEANUP_DONE(struct vu_damage, vu_damage_done)

static void check_mount(struct vu_doctor *d, const struct vu_session_fs *fs, int root_fd)
{
	const char *on = fs->mount.point;
	struct statvfs st;

	if (!vu_mount_can_link(&fs->mount)) {
		vu_doctor_find(d, VU_FINDING_FAIL, "mount", on,
			       "unify guests on ext4, XFS or Btrfs",
			       "%s holds no immutable files that can be shared", fs->mount.type);
		return;
	}
	if (fstatvfs(root_fd, &st))
		vu_doctor_find(d, VU_FINDING_FAIL, "mount", on, NULL, "%s", strerror(errno));
	else if (st.f_flag & ST_RDONLY)
		vu_doctor_find(d, VU_FINDING_FAIL, "mount", on, "mount it rw",
			       "it is mounted read-only");
	else if (!(st.f_flag & ST_NOATIME))
		vu_doctor_find(
			d, VU_FINDING_WARN, "mount", on, "mount it with noatime",
			"guests see by a shared file's atime that others read it, and reading writes");
	else
		vu_doctor_find(d, VU_FINDING_OK, "mount", on, NULL, "%s, rw, noatime",
			       fs->mount.type);
	if (!fstatvfs(root_fd, &st) && (!st.f_bavail || (st.f_files && !st.f_favail)))
		vu_doctor_find(d, VU_FINDING_WARN, "space", on, "free some",
			       "no %s are left: private copies cannot be made",
			       st.f_bavail ? "inodes" : "blocks");
}

/* Can the file system do what linking needs? Where a run has the pool, that has tried it. */
static void check_pool(struct vu_doctor *d, const struct vu_session_fs *fs, int root_fd)
{
	const char *on = fs->mount.point;
	_cleanup_free_ char *why = NULL;
	struct vu_pool *pool = NULL;

	if (!fs->pool) {
		vu_doctor_find(d, VU_FINDING_OK, "pool", on, NULL, "there is none yet");
		return;
	}
	int r = vu_pool_open(root_fd, VU_POOL_CREATE, &pool, &why);

	vu_pool_close(pool);
	if (!r)
		vu_doctor_find(d, VU_FINDING_OK, "pool", on, NULL,
			       "flags, leases and exchanges work");
	else if (r == VU_POOL_BUSY)
		vu_doctor_find(d, VU_FINDING_OK, "pool", on, NULL, "a run is at work");
	else
		vu_doctor_find(d, VU_FINDING_FAIL, "pool", on, NULL, "%s",
			       why ? why : strerror(r < 0 ? -r : EINVAL));
}

static bool has_rescued(const struct vu_pool *pool)
{
	_cleanup_fd_ int part = vu_pool_part_open(pool, "rescued", false);
	int fd = part < 0 ? -1 : openat(part, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool has = false;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (e = readdir(dir)))
		has = has || e->d_name[0] != '.';
	return has;
}

static void check_left(struct vu_doctor *d, const struct vu_session_fs *fs)
{
	const char *on = fs->mount.point;

	if (!fs->pool)
		return;
	int r = vu_recover_is_needed(fs->pool);

	if (r < 0)
		vu_doctor_find(d, VU_FINDING_FAIL, "leftovers", on, NULL,
			       "the pool cannot be read: %s", strerror(-r));
	else if (r)
		vu_doctor_find(d, VU_FINDING_WARN, "leftovers", on, "run `vunify recover`",
			       "a run was cut short, or works just now");
	else
		vu_doctor_find(d, VU_FINDING_OK, "leftovers", on, NULL, "none");
	if (has_rescued(fs->pool))
		vu_doctor_find(d, VU_FINDING_WARN, "rescued", on,
			       "see whose it is, put it back or remove it",
			       "%s/.vunify/rescued holds what belonged nowhere", on);
}

void vu_doctor_objects(struct vu_doctor *d)
{
	vu_cleanup(vu_damage_done_p) struct vu_damage damage = {0};
	int r = vu_damage_find(&d->session, &damage);

	if (r)
		vu_doctor_find_problem(d, VU_FINDING_FAIL, "objects", NULL, r);
	else if (damage.objects)
		vu_doctor_find(
			d, VU_FINDING_FAIL, "objects", NULL,
			"run `vunify recover`, and unmerge what stays damaged (`vunify status`)",
			"%zu are not immutable, or not what the catalog says",
			(size_t)damage.objects);
	else
		vu_doctor_find(d, VU_FINDING_OK, "objects", NULL, NULL,
			       "immutable, and as the catalog says");
}

static void check_leases(struct vu_doctor *d, const char *on, const char *why)
{
	if (why)
		vu_doctor_find(
			d, VU_FINDING_FAIL, "leases", on,
			"set /proc/sys/fs/leases-enable to 1; network and FUSE file systems have none",
			"a lease cannot be had on a file: %s", why);
	else if (vu_lease_break_ns() < LEASE_BREAK_NS_MIN)
		vu_doctor_find(d, VU_FINDING_WARN, "leases", on,
			       "set /proc/sys/fs/lease-break-time to 45, its default",
			       "they are taken away after less than 5 seconds");
	else
		vu_doctor_find(d, VU_FINDING_OK, "leases", on, NULL, "work");
}

/* Tried on a file without a name, where guests are: nothing is left even of a probe that is killed. */
static void check_abilities(struct vu_doctor *d, const struct vu_session_fs *fs, int root_fd)
{
	const char *on = fs->mount.point;
	_cleanup_free_ char *flag = NULL, *lease = NULL;
	int r = vu_probe_nameless(root_fd, &flag, &lease);

	if (r) {
		vu_doctor_find(d, r == -EROFS ? VU_FINDING_OK : VU_FINDING_WARN, "flags", on, NULL,
			       "cannot be tried: %s", strerror(-r));
		return;
	}
	if (flag)
		vu_doctor_find(d, VU_FINDING_FAIL, "flags", on,
			       "unify guests on ext4, XFS or Btrfs, as root of the host",
			       "the immutable flag does not keep a file: %s", flag);
	else
		vu_doctor_find(d, VU_FINDING_OK, "flags", on, NULL, "the immutable flag holds");
	check_leases(d, on, lease);
}

static void check_links(struct vu_doctor *d, const struct vu_session_fs *fs)
{
	uint64_t most, near;

	if (!fs->pool ||
	    vu_catalog_most_links(d->session.catalog, fs->mount.fs_id, LINKS_NEAR, &most, &near))
		return;
	if (near)
		vu_doctor_find(d, VU_FINDING_OK, "links", fs->mount.point, NULL,
			       "%" PRIu64
			       " objects have nearly 64,000: further names share a further object",
			       near);
	else
		vu_doctor_find(d, VU_FINDING_OK, "links", fs->mount.point, NULL,
			       "at most %" PRIu64 " of an object, of 64,000 that it may have",
			       most);
}

void vu_doctor_fs(struct vu_doctor *d, size_t i, int root_fd)
{
	const struct vu_session_fs *fs = &d->session.fs[i];

	check_mount(d, fs, root_fd);
	if (vu_mount_can_link(&fs->mount))
		check_abilities(d, fs, root_fd);
	check_pool(d, fs, root_fd);
	check_left(d, fs);
	check_links(d, fs);
}
