/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/leaving.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/stat.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "fs/mountinfo.h"
#include "guest/procs.h"
#include "ops/farm.h"

VU_DEFINE_CLEANUP_DONE(struct vu_farm, vu_farm_close)

static int refuse(const struct vu_session *s, size_t guest, const char *why, const char *todo)
{
	return vu_fail(s->ops, VU_OPS_REFUSED, "cannot remove the guest", s->guests.v[guest].name,
		       why, todo);
}

int vu_leaving_check_idle(struct vu_session *s, size_t guest)
{
	const struct vu_procs_root root = {
		.dev = s->guests.v[guest].dev,
		.ino = s->guests.v[guest].ino,
	};
	struct vu_procs_found found;
	_cleanup_free_ char *why = NULL;
	int r = vu_procs_scan(&root, 1, &found);

	if (r)
		return vu_fail(s->ops, r, "cannot look at the processes of the guest",
			       s->guests.v[guest].name, NULL, NULL);
	if (!found.n_processes)
		return 0;
	if (asprintf(&why, "it runs: %" PRIu32 " %s in it", found.n_processes,
		     found.n_processes == 1 ? "process is" : "processes are") < 0)
		return -ENOMEM;
	return refuse(s, guest, why, "stop the guest first");
}

/* ---- mounts ---- */

/* A mount point below path; *ret is owned by the caller, NULL where there is none. */
static int find_mount_below(const char *path, char **ret)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t cap = 0, n = strlen(path);

	*ret = NULL;
	if (!f)
		return -errno;
	while (!*ret && getline(&line, &cap, f) > 0) {
		struct vu_mountinfo m;

		if (!vu_mountinfo_parse(line, &m) || strncmp(m.point, path, n) != 0 ||
		    (m.point[n] && m.point[n] != '/'))
			continue;
		*ret = strdup(m.point);
		if (!*ret)
			return -ENOMEM;
	}
	return ferror(f) ? -EIO : 0;
}

static int check_mounts(struct vu_session *s, size_t guest)
{
	_cleanup_free_ char *point = NULL, *why = NULL;
	int r = find_mount_below(s->guests.v[guest].path, &point);

	if (r)
		return vu_fail(s->ops, r, "cannot read", "/proc/self/mountinfo", NULL, NULL);
	if (!point)
		return 0;
	if (asprintf(&why, "something is mounted on %s", point) < 0)
		return -ENOMEM;
	return refuse(s, guest, why, "unmount it first: mounts are never entered");
}

/* ---- what is in it ---- */

struct look {
	pthread_mutex_t lock;
	const struct vu_inomap *objects;
	uint64_t flagged; /* inode that is immutable or append-only, and no object; 0: none */
};

static void on_stat(void *arg, uint16_t guest, const struct vu_stat *st)
{
	struct look *l = arg;

	(void)guest;
	if (!(st->attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) ||
	    vu_inomap_get(l->objects, st->version.ino, NULL))
		return;
	pthread_mutex_lock(&l->lock);
	l->flagged = st->version.ino;
	pthread_mutex_unlock(&l->lock);
}

static int refuse_path(struct vu_session *s, size_t guest, char *path_consume, const char *what,
		       const char *todo)
{
	_cleanup_free_ char *path = path_consume, *why = NULL;

	if (!path || asprintf(&why, "/%s in it %s", path, what) < 0)
		return -ENOMEM;
	return refuse(s, guest, why, todo);
}

static int refuse_flagged(struct vu_session *s, size_t guest, char *path_consume)
{
	return refuse_path(s, guest, path_consume,
			   "is immutable or append-only by somebody's hand, and no shared file",
			   "take the flag off (chattr -i -a) if it is to go: nothing was removed");
}

static int check_dirs(struct vu_session *s, size_t guest, const struct vu_tree *t, uint64_t flagged)
{
	for (uint32_t i = 0; i < t->dirs.n; i++) {
		const struct vu_dir *d = vu_tree_dir(t, i);

		if (d->flags & VU_DIR_OTHER_FS)
			return refuse_path(s, guest, vu_tree_dir_path(t, i),
					   "is another file system or subvolume",
					   "remove it first (btrfs subvolume delete)");
		if (flagged && d->ino == flagged)
			return refuse_flagged(s, guest, vu_tree_dir_path(t, i));
	}
	return 0;
}

static int check_files(struct vu_session *s, size_t guest, const struct vu_tree *t,
		       uint64_t flagged)
{
	for (uint32_t i = 0; flagged && i < t->names.n; i++)
		if (vu_tree_inode(t, vu_tree_name(t, i)->inode)->ino == flagged)
			return refuse_flagged(s, guest, vu_tree_name_path(t, i));
	return 0;
}

static void count(const struct vu_tree *t, struct vu_remove_report *ret)
{
	ret->dirs = t->dirs.n;
	ret->names = t->unified.n;
	ret->files = t->names.n;
	ret->private_bytes = 0;
	for (uint32_t i = 0; i < t->dirs.n; i++)
		ret->files += vu_tree_dir(t, i)->n_other;
	for (uint32_t i = 0; i < t->inodes.n; i++)
		ret->private_bytes += vu_tree_inode(t, i)->size;
}

int vu_leaving_check_tree(struct vu_session *s, size_t guest, const struct vu_pool_listing *objects,
			  struct vu_remove_report *ret)
{
	vu_cleanup(vu_farm_close_p) struct vu_farm f = {0};
	struct look l = {.lock = PTHREAD_MUTEX_INITIALIZER, .objects = &objects->by_ino};
	int r = check_mounts(s, guest);

	if (!r)
		r = vu_farm_open(&f, s, VU_FARM_LATER); /* its objects are listed already */
	if (r)
		return r;
	f.walk_guests[guest].objects = l.objects;
	f.walk.on_stat = on_stat;
	f.walk.on_stat_arg = &l;
	r = vu_farm_walk(&f);
	if (!r)
		r = check_dirs(s, guest, f.tree, l.flagged);
	if (!r)
		r = check_files(s, guest, f.tree, l.flagged);
	if (!r)
		count(f.tree, ret);
	return r;
}
