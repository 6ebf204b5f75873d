/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The doctor's look at a guest. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "db/catalog-run.h"
#include "fs/guard.h"
#include "fs/mountinfo.h"
#include "fs/stat.h"
#include "ops/cow-mark.h"
#include "ops/doctor-int.h"

VU_DEFINE_CLEANUP_DONE(struct vu_session, vu_session_close)

/* In a session of its own: it is refused alone, if it is. */
static void check_trust(struct vu_doctor *d, struct vu_guest *g)
{
	vu_cleanup(vu_session_close_p) struct vu_session s;
	char *operands[] = {g->path, NULL};
	int r = vu_session_open(&s, d->ops, 0, operands, 1);

	if (!r)
		r = vu_session_check_trust(&s, false);
	if (r)
		vu_doctor_find_problem(d, VU_FINDING_FAIL, "confinement", g->name, r);
	else
		vu_doctor_find(d, VU_FINDING_OK, "confinement", g->name, NULL, "%s",
			       g->trust ? "it is trusted"
					: "no process in it could lift a flag, or reach the pool");
}

/* Owners that are shifted, and project ids, keep what is the same apart. */
static void check_owner(struct vu_doctor *d, size_t i)
{
	const struct vu_session *s = &d->session;
	const struct vu_guest *g = &s->guests.v[i];
	struct stat mine, other;

	if (fstat(s->root_fds[i], &mine))
		return;
	for (size_t k = 0; k < s->guests.n; k++) {
		const struct vu_guest *h = &s->guests.v[k];

		if (s->guest_fs[k] != s->guest_fs[i] || strcmp(h->domain, g->domain) != 0 ||
		    fstat(s->root_fds[k], &other) || other.st_uid == mine.st_uid)
			continue;
		vu_doctor_find(
			d, VU_FINDING_WARN, "owners", g->name,
			"shift the user ids of both alike, or by an idmapped mount",
			"its root is user %u's, that of %s is user %u's: what the same users of both own is not the same",
			(unsigned)mine.st_uid, h->name, (unsigned)other.st_uid);
		return;
	}
}

static void check_project(struct vu_doctor *d, size_t i)
{
	const struct vu_session *s = &d->session;
	struct fsxattr a;
	_cleanup_fd_ int fd =
		openat(s->root_fds[i], ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);

	if (fd >= 0 && !ioctl(fd, FS_IOC_FSGETXATTR, &a) && a.fsx_xflags & FS_XFLAG_PROJINHERIT &&
	    a.fsx_projid)
		vu_doctor_find(
			d, VU_FINDING_WARN, "project", s->guests.v[i].name,
			"account for the guest in another way",
			"its files have project id %u, which a file that is shared cannot have",
			a.fsx_projid);
}

static void check_cow(struct vu_doctor *d, const struct vu_guest *g)
{
	char how[VU_COW_MARK_TEXT];
	int r = vu_cow_mark_look(d->ops->config->lock_dir, g->path, how);

	if (r < 0)
		vu_doctor_find(d, VU_FINDING_WARN, "copy-on-write", g->name, NULL,
			       "cannot be told: %s", strerror(-r));
	else if (r)
		vu_doctor_find(d, VU_FINDING_OK, "copy-on-write", g->name, NULL, "by %s", how);
	else
		vu_doctor_find(
			d, VU_FINDING_OK, "copy-on-write", g->name, NULL, "%s",
			vu_guard_is_there()
				? "none, but the guard: it can remove and replace unified files"
				: "none: it cannot change unified files");
}

/* Adds up how many mounts there are below a path, as this process sees them; and is what the path is on idmapped? */
static int look_at_mounts(const char *path, uint64_t mount, size_t *ret_below, bool *ret_idmapped)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0, n = strlen(path);

	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0) {
		struct vu_mountinfo m;

		if (!vu_mountinfo_parse(line, &m))
			continue;
		*ret_below += !strncmp(m.point, path, n) && m.point[n] == '/';
		if (m.id == mount)
			*ret_idmapped = vu_mountinfo_has_option(&m, "idmapped");
	}
	return 0;
}

/* Is its root where links can lead to it? */
static bool check_root(struct vu_doctor *d, size_t i)
{
	const struct vu_session *s = &d->session;
	const struct vu_guest *g = &s->guests.v[i];
	struct vu_stat st;
	struct stat top;

	if (vu_stat_fd(s->root_fds[i], &st) || d->ops->config->mode == VU_MODE_REFLINK)
		return true;
	if (st.attributes & STATX_ATTR_MOUNT_ROOT) {
		vu_doctor_find(d, VU_FINDING_FAIL, "mounts", g->name,
			       "put the guests into directories of one file system",
			       "its root is a mount point itself: links do not lead there");
		return false;
	}
	if (!stat(s->fs[s->guest_fs[i]].mount.point, &top) && top.st_dev != st.version.dev) {
		vu_doctor_find(
			d, VU_FINDING_FAIL, "mounts", g->name,
			"put the guests into directories of one subvolume, or use --mode=reflink",
			"its root is a subvolume of its own: hard links do not lead there");
		return false;
	}
	return true;
}

static void check_mounts(struct vu_doctor *d, size_t i)
{
	const struct vu_session *s = &d->session;
	const struct vu_guest *g = &s->guests.v[i];
	size_t below = 0;
	bool idmapped = false;

	if (!check_root(d, i))
		return;
	int r = look_at_mounts(g->path, s->fs[s->guest_fs[i]].mount.id, &below, &idmapped);

	if (r)
		vu_doctor_find(d, VU_FINDING_WARN, "mounts", g->name, NULL, "cannot be told: %s",
			       strerror(-r));
	else if (idmapped)
		vu_doctor_find(
			d, VU_FINDING_WARN, "mounts", g->name,
			"name the roots where the file system is mounted without an id map",
			"it is seen through an idmapped mount: owners are not those on the disk");
	else if (below)
		vu_doctor_find(d, VU_FINDING_OK, "mounts", g->name, NULL,
			       "%zu are in it, which are not looked into", below);
	else
		vu_doctor_find(d, VU_FINDING_OK, "mounts", g->name, NULL, "none in it");
}

static void check_scanned(struct vu_doctor *d, const struct vu_guest *g)
{
	uint64_t when = 0;

	if (!vu_catalog_looked_at(d->session.catalog, g->id, &when) && !when)
		vu_doctor_find(d, VU_FINDING_WARN, "scan", g->name, "run `vunify scan`",
			       "it was never scanned");
}

void vu_doctor_guest(struct vu_doctor *d, size_t i)
{
	check_scanned(d, &d->session.guests.v[i]);
	check_mounts(d, i);
	check_trust(d, &d->session.guests.v[i]);
	check_owner(d, i);
	check_project(d, i);
	check_cow(d, &d->session.guests.v[i]);
}
