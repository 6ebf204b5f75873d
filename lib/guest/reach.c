/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/PID/task/TID/mountinfo shows the mounts below the thread's root directory, and of each which
 * directory of which superblock it is (Linux 6.18). A place can be reached by a mount of its superblock
 * whose directory is the place, stands above it, or lies in it. Mounts upon others may hide that again,
 * but who can mount can also unmount: so this is not looked at.
 *
 * A thread with CAP_SYS_CHROOT leaves its root directory at will (chroot(2)), as far up as its mount
 * namespace goes, so for such a one all mounts of the namespace count. What it shows from its top is
 * learnt by a thread of our own that enters it: that one's root and mounts are then the namespace's,
 * the other threads' are not touched (unshare(CLONE_FS), setns(CLONE_NEWNS)).
 *
 * The owner of a directory of mode 0700 is the kernel's user 0: whoever has it among its user IDs or
 * in the map of its user namespace. A mount that is idmapped gives that to others: who sees such a
 * mount counts, whoever it is.
 *
 * Many threads see the same mounts, so what was found of a namespace, or of a root directory, is kept.
 */
#include "guest/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/mount.h"
#include "fs/mountinfo.h"

#define BYTES_MAX (UINT64_C(64) << 20) /* of mountinfo, for one guest */
#define NO_PLACE SIZE_MAX

/* Whose mounts: all of a namespace (by its inode), or those below a root directory. */
struct sight {
	bool all;
	uint64_t dev, ino, mount;
};

/* Which place a sight shows, to the owner of the place and to anybody. */
struct shown {
	struct sight sight;
	bool unknown;
	size_t to_owner, to_all;
};

struct reach {
	const struct vu_reach_place *places;
	size_t n_places;
	struct vu_reach_found *found;
	uint64_t *bytes;     /* owned; read for each root */
	struct shown *shown; /* owned */
	size_t n_shown;
	struct vu_procs_text status; /* owned */
	int proc_fd;
};

/* ---- places ---- */

void vu_reach_place_done(struct vu_reach_place *p)
{
	free(p->path);
	*p = (struct vu_reach_place){0};
}

VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)

int vu_reach_place_of(int dirfd, struct vu_reach_place *ret)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};
	char link[sizeof("/proc/self/fd/") + 11];
	int r = vu_mount_where(dirfd, &m);

	if (r)
		return r;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
	_cleanup_free_ char *path = realpath(link, NULL);

	if (!path)
		return -errno;
	/* "/" as mount point or as directory adds nothing */
	const char *tail = path + (m.point[1] ? strlen(m.point) : 0);

	if (strlen(path) < strlen(m.point))
		return -ESTALE;
	if (asprintf(&ret->path, "%s%s", m.root[1] ? m.root : "", tail[0] && tail[1] ? tail : "") <
	    0)
		return -ENOMEM;
	ret->dev = m.super_dev;
	return 0;
}

/* Is a the directory b, or does it stand above it? Both without a slash at their ends. */
static bool is_above(const char *a, const char *b)
{
	size_t n = strlen(a);

	return !strncmp(a, b, n) && (!b[n] || b[n] == '/');
}

static size_t place_in(const struct reach *c, const struct vu_mountinfo *m)
{
	const char *dir = m->root[1] ? m->root : "";

	for (size_t i = 0; i < c->n_places; i++)
		if (c->places[i].dev == m->dev &&
		    (is_above(dir, c->places[i].path) || is_above(c->places[i].path, dir)))
			return i;
	return NO_PLACE;
}

/* ---- mounts ---- */

struct entering {
	int proc_fd, ns_fd;
	int ret; /* descriptor of mountinfo, or a negative errno */
};

static void *enter(void *arg)
{
	struct entering *e = arg;

	e->ret = unshare(CLONE_FS) || setns(e->ns_fd, CLONE_NEWNS)
			 ? -1
			 : openat(e->proc_fd, "thread-self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (e->ret < 0)
		e->ret = -errno;
	return NULL;
}

/* Opens the list of all mounts of the thread's namespace. Returns it or a negative errno. */
static int open_all(const struct reach *c, int task_fd)
{
	_cleanup_fd_ int ns_fd = openat(task_fd, "ns/mnt", O_RDONLY | O_CLOEXEC);
	struct entering e = {.proc_fd = c->proc_fd, .ns_fd = ns_fd};
	pthread_t thread;

	if (ns_fd < 0)
		return -errno;
	int r = pthread_create(&thread, NULL, enter, &e);

	if (r)
		return -r;
	pthread_join(thread, NULL);
	return e.ret;
}

/* Reads a list of mounts, for as long as it may become for this root. Returns 0 or a negative errno. */
static int read_mounts(struct reach *c, int fd, uint64_t *bytes, struct shown *s)
{
	_cleanup_fclose_ FILE *f = fdopen(dup(fd), "re");
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	if (!f)
		return -errno;
	errno = 0;
	while (s->to_all == NO_PLACE && (n = getline(&line, &cap, f)) > 0) {
		struct vu_mountinfo m;

		*bytes += (uint64_t)n;
		if (*bytes > BYTES_MAX)
			return -E2BIG;
		size_t place = vu_mountinfo_parse(line, &m) ? place_in(c, &m) : NO_PLACE;

		if (place != NO_PLACE)
			s->to_owner = place;
		if (place != NO_PLACE && vu_mountinfo_has_option(&m, "idmapped"))
			s->to_all = place;
	}
	return ferror(f) ? -EIO : 0;
}

/* Whose mounts are the thread's? Returns 0 or a negative errno. */
static int find_sight(int task_fd, bool all, struct sight *ret)
{
	struct statx stx;

	/* DONT_SYNC: the root may be on a file system that a guest serves. */
	if (statx(task_fd, all ? "ns/mnt" : "root", AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		  STATX_INO | STATX_MNT_ID, &stx))
		return -errno;
	*ret = (struct sight){
		.all = all,
		.dev = makedev(stx.stx_dev_major, stx.stx_dev_minor),
		.ino = stx.stx_ino,
		.mount = !all && stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id : 0,
	};
	return 0;
}

static bool same_sight(const struct sight *a, const struct sight *b)
{
	return a->all == b->all && a->dev == b->dev && a->ino == b->ino && a->mount == b->mount;
}

/* What the thread sees. Returns 0 with *ret filled, or a negative errno. */
static int look(struct reach *c, size_t root, int task_fd, bool all, struct shown *ret)
{
	struct shown s = {.to_owner = NO_PLACE, .to_all = NO_PLACE};
	int r = find_sight(task_fd, all, &s.sight);

	for (size_t i = 0; !r && i < c->n_shown; i++)
		if (same_sight(&c->shown[i].sight, &s.sight)) {
			*ret = c->shown[i];
			return 0;
		}
	struct shown *more = reallocarray(c->shown, c->n_shown + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	c->shown = more;
	if (r)
		return r;
	_cleanup_fd_ int fd =
		all ? open_all(c, task_fd) : openat(task_fd, "mountinfo", O_RDONLY | O_CLOEXEC);

	r = fd >= 0 ? read_mounts(c, fd, &c->bytes[root], &s) : all ? fd : -errno;
	if (r == -ENOENT || r == -ESRCH || r == -ENOMEM)
		return r;
	s.unknown = r != 0;
	more[c->n_shown++] = s;
	*ret = s;
	return 0;
}

/* ---- who ---- */

/* Has the line one of the user IDs 0? (They are shown as the host sees them.) */
static bool has_uid_0(const char *status)
{
	unsigned long uid[4];
	const char *p = strstr(status, "\nUid:\t");

	if (!p || sscanf(p, "\nUid:\t%lu %lu %lu %lu", &uid[0], &uid[1], &uid[2], &uid[3]) != 4)
		return true;
	return !uid[0] || !uid[1] || !uid[2] || !uid[3];
}

/* Does the thread's user namespace map the host's user 0? */
static bool maps_uid_0(int task_fd)
{
	_cleanup_fd_ int fd = openat(task_fd, "uid_map", O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	unsigned long inside, outside, n;

	if (!f)
		return true;
	fd = -EBADF;
	while (fscanf(f, "%lu %lu %lu", &inside, &outside, &n) == 3)
		if (!outside)
			return true;
	return ferror(f);
}

/* Looks at one thread. Returns 0 or -ENOMEM. */
static int judge(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct reach *c = arg;
	struct vu_reach_found *found = &c->found[root];
	struct shown s = {.to_owner = NO_PLACE, .to_all = NO_PLACE};
	int r = found->how ? -ESRCH : vu_procs_status(task_fd, &c->status);

	if (r == -ENOENT || r == -ESRCH)
		return 0;
	if (r == -ENOMEM)
		return r;
	bool leaves = r || vu_procs_can_have(c->status.s, CAP_SYS_CHROOT);
	bool owner = r || has_uid_0(c->status.s) || maps_uid_0(task_fd);

	/* What it sees itself comes first: that says more to whoever has to mend it. */
	enum vu_reach_e how = VU_REACH_SHOWN;

	r = look(c, root, task_fd, false, &s);
	if (!r && leaves && !s.unknown && (owner ? s.to_owner : s.to_all) == NO_PLACE) {
		how = VU_REACH_BEYOND;
		r = look(c, root, task_fd, true, &s);
	}
	if (r == -ENOMEM)
		return r;
	if (r == -ENOENT || r == -ESRCH)
		return 0;
	size_t place = owner ? s.to_owner : s.to_all;

	if (!r && !s.unknown && place == NO_PLACE)
		return 0;
	*found = (struct vu_reach_found){
		.how = r || s.unknown ? VU_REACH_UNKNOWN : how,
		.place = place == NO_PLACE ? 0 : place,
		.pid = pid,
	};
	vu_procs_name(task_fd, found->name);
	return 0;
}

int vu_reach_scan(const struct vu_procs_root *roots, size_t n, const struct vu_reach_place *places,
		  size_t n_places, struct vu_reach_found *ret_found)
{
	_cleanup_free_ struct vu_reach_found *found = calloc(n + 1, sizeof(*found));
	_cleanup_free_ uint64_t *bytes = calloc(n + 1, sizeof(*bytes));
	_cleanup_fd_ int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct reach c = {
		.places = places,
		.n_places = n_places,
		.found = found,
		.bytes = bytes,
		.proc_fd = proc_fd,
	};

	if (!found || !bytes)
		return -ENOMEM;
	if (proc_fd < 0)
		return -errno;
	int r = n_places ? vu_procs_each_task(roots, n, judge, &c) : 0;

	free(c.shown);
	free(c.status.s);
	if (!r && n)
		memcpy(ret_found, found, n * sizeof(*found));
	return r;
}
