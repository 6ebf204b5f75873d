/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/recover-leftover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/beneath.h"
#include "fs/copy.h"
#include "fs/lease.h"

int vu_leftover_removed(struct vu_leftover *l, const char *text)
{
	l->c->stats->names_removed++;
	vu_recover_tell(l->c, VU_EVENT_RECOVER, NULL, l->in ? l->in->path : l->name, 0, text);
	return 0;
}

int vu_leftover_remove(struct vu_leftover *l, const char *text)
{
	if (!l->c->env->dry_run && unlinkat(l->dir, l->name, 0))
		return -errno;
	return vu_leftover_removed(l, text);
}

int vu_leftover_rescue(struct vu_leftover *l)
{
	_cleanup_free_ char *path = NULL;
	int r = l->c->env->dry_run ? 0 : vu_pool_rescue(l->c->pool, l->dir, l->name, &path);

	if (r)
		return r;
	l->c->stats->rescued++;
	vu_recover_tell(
		l->c, VU_EVENT_WARN, NULL, path ? path : l->name, 0,
		"a file was left over that is nowhere else, and whose place is taken or not "
		"known: moved to .vunify/rescued");
	return 0;
}

int vu_leftover_leave(struct vu_leftover *l)
{
	l->c->stats->left++;
	return 0;
}

int vu_leftover_leave_for(struct vu_leftover *l, const char *text)
{
	l->c->stats->left++;
	vu_recover_tell(l->c, VU_EVENT_WARN, &l->in->key, l->in->path, 0, text);
	return 0;
}

int vu_leftover_restored(struct vu_leftover *l)
{
	l->c->stats->names_restored++;
	vu_recover_tell(l->c, VU_EVENT_RECOVER, NULL, l->in->path, 0,
			"the guest's own, newer file was put back");
	return 0;
}

int vu_leftover_equals(struct vu_leftover *l, const struct vu_object *o)
{
	_cleanup_fd_ int fd = vu_regular_open(l->dir, l->name, NULL);

	if (fd < 0)
		return fd;
	int r = vu_lease_take(fd);

	if (r)
		return r > 0 ? 0 : r;
	struct vu_object as = *o;

	as.fd = fd;
	if (l->in && !l->in->with_mtime)
		as.mtime_ns = l->st.version.mtime_ns;
	r = vu_object_holds(&as, l->c->env->max_xattr_bytes);
	if (r > 0)
		r = vu_copy_equal(fd, o->fd, o->size);
	return r > 0 ? vu_lease_quiet(fd) : r;
}

int vu_leftover_is_all(const struct vu_leftover *l)
{
	int fd = openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	struct vu_stat st;
	unsigned n = 0;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		r = vu_stat_at(l->dir, e->d_name, &st);
		if (!r)
			n += st.version.ino == l->st.version.ino;
		r = r == -ENOENT ? 0 : r;
	}
	r = r ? r : -errno;
	return r ? r : n == l->st.n_links;
}
