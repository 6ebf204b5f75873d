/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "cow/serve-int.h"

void vu_serve_spot_done(struct vu_serve_spot *s)
{
	vu_close_p(&s->dir);
	free(s->rel);
	s->rel = NULL;
}

void vu_serve_found_done(struct vu_serve_found *f)
{
	vu_serve_spot_done(&f->spot);
}

void vu_serve_leave(struct vu_server *v)
{
	if (vu_view_leave(v->view))
		v->lost = true;
}

/* The directory by the pool's mount; owned by the caller. */
static int on_pools_mount(struct vu_server *v, int parent, const struct vu_stat *st)
{
	if (v->place.fd < 0 || v->place.ino != st->version.ino || v->place.dev != st->version.dev) {
		int fd = vu_view_on_mount(parent, vu_pool_fd(v->env->pool));

		if (fd < 0)
			return fd;
		vu_close_p(&v->place.fd);
		v->place.fd = fd;
		v->place.dev = st->version.dev;
		v->place.ino = st->version.ino;
	}
	int fd = fcntl(v->place.fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/*
 * Where the directory of the spot is by the pool's mount. The thread is in the host's root. Returns 0; VU_LIVE_BUSY
 * when it is not in the guest's root; or a negative errno.
 */
static int enter_mount(struct vu_server *v, int parent, struct vu_serve_spot *s)
{
	const struct vu_supervisor_env *env = v->env;
	size_t len = strlen(env->root);
	char path[PATH_MAX];
	struct statvfs vfs;

	s->read_only = fstatvfs(parent, &vfs) || vfs.f_flag & ST_RDONLY;
	s->dir = on_pools_mount(v, parent, &s->parent);
	if (s->dir < 0)
		return s->dir;
	ssize_t n = vu_view_path(v->view, s->dir, path);

	if (n < 0)
		return (int)n;
	if (strncmp(path, env->root, len) || (path[len] && path[len] != '/'))
		return VU_LIVE_BUSY;
	const char *dir = path + len + (path[len] == '/');

	if (asprintf(&s->rel, "%s%s%s", dir, *dir ? "/" : "", s->base) < 0)
		return s->rel = NULL, -ENOMEM;
	return 0;
}

/* Its directory is that of another name of the call, which was found just now. */
static int enter_like(const struct vu_serve_spot *near, struct vu_serve_spot *s)
{
	const char *slash = strrchr(near->rel, '/');
	int len = slash ? (int)(slash + 1 - near->rel) : 0;

	s->read_only = near->read_only;
	s->dir = fcntl(near->dir, F_DUPFD_CLOEXEC, 0);
	if (s->dir < 0)
		return -errno;
	if (asprintf(&s->rel, "%.*s%s", len, near->rel, s->base) < 0)
		return s->rel = NULL, -ENOMEM;
	return 0;
}

static bool is_same(const struct vu_stat *a, const struct vu_stat *b)
{
	return a->version.ino == b->version.ino && a->version.dev == b->version.dev && a->mount &&
	       a->mount == b->mount;
}

/* The i-th path's name, in the directory that it was looked for in. As enter_mount. */
static int locate(struct vu_server *v, unsigned i, const struct vu_serve_spot *near,
		  struct vu_serve_spot *s)
{
	const struct vu_serve_seen *seen = &v->job.seen[i];

	vu_serve_leave(v);
	if (v->lost)
		return -EIO;
	strcpy(s->base, seen->base);
	s->parent = seen->parent;
	return near && is_same(&near->parent, &s->parent) ? enter_like(near, s)
							  : enter_mount(v, seen->dir, s);
}

const char *vu_serve_text(const struct vu_server *v, unsigned i)
{
	return v->job.call.path[i].self ? NULL : v->text[i];
}

/* An object is there. */
static int found(struct vu_server *v, unsigned i, struct vu_serve_found *f)
{
	int r = locate(v, i, NULL, &f->spot);

	if (r == -ENOENT || r == -ESTALE)
		return VU_SERVE_AGAIN;
	if (r)
		return r == VU_LIVE_BUSY ? 0 : r;
	return 1;
}

int vu_serve_find(struct vu_server *v, unsigned i, struct vu_serve_found *f)
{
	struct vu_serve_seen *s = &v->job.seen[i];
	_cleanup_fd_ int fd = vu_view_resolve(v->view, v->job.tid, &v->job.call.path[i],
					      vu_serve_text(v, i), VU_VIEW_WHOLLY, &f->st);
	int r = fd < 0 ? 0 : vu_live_find(v->env->live, &f->st, &f->key);

	f->spot.dir = -EBADF;
	if (r <= 0) {
		vu_serve_leave(v); /* what the kernel says of the path it will say to the guest */
		return r;
	}
	vu_close_p(&s->dir);
	s->by_text = false;
	s->dir = vu_view_parent(v->view, fd, s->base);
	r = s->dir < 0 ? s->dir : vu_stat_fd(s->dir, &s->parent);
	if (r) {
		vu_serve_leave(v);
		return r == -ENOENT ? VU_SERVE_AGAIN : r;
	}
	return found(v, i, f);
}

/* Is the i-th path's directory the other one's, by what the call says, and that one was found? */
static bool is_beside(const struct vu_server *v, unsigned i, char *base)
{
	const struct vu_call_path *p = v->job.call.path;
	const struct vu_serve_seen *other = &v->job.seen[!i];
	char name[NAME_MAX + 1];

	if (v->job.call.n_paths != 2 || other->dir < 0 || !other->by_text)
		return false;
	ssize_t len = vu_view_split(v->text[i], base);

	return len >= 0 && p[0].dirfd == p[1].dirfd && len == vu_view_split(v->text[!i], name) &&
	       !memcmp(v->text[0], v->text[1], (size_t)len);
}

int vu_serve_dir(struct vu_server *v, unsigned i, enum vu_view_how how)
{
	struct vu_serve_seen *s = &v->job.seen[i];

	if (s->dir >= 0)
		return s->dir;
	s->by_text = true;
	if (is_beside(v, i, s->base)) {
		s->parent = v->job.seen[!i].parent;
		s->dir = fcntl(v->job.seen[!i].dir, F_DUPFD_CLOEXEC, 0);
		return s->dir < 0 ? -errno : s->dir;
	}
	s->dir = vu_view_resolve_dir(v->view, v->job.tid, &v->job.call.path[i], v->text[i], how,
				     s->base, &s->parent);
	return s->dir;
}

int vu_serve_find_name(struct vu_server *v, unsigned i, struct vu_serve_found *f)
{
	const struct vu_serve_seen *s = &v->job.seen[i];
	int dir = vu_serve_dir(v, i, VU_VIEW_WHOLLY);
	int r = dir < 0 || vu_stat_at(dir, s->base, &f->st)
			? 0
			: vu_live_find(v->env->live, &f->st, &f->key);

	f->spot.dir = -EBADF;
	/* what the kernel says of the path it will say to the guest; also where something is mounted at it */
	if (r <= 0 || f->st.mount != s->parent.mount) {
		vu_serve_leave(v);
		return VU_MIN(r, 0);
	}
	return found(v, i, f);
}

int vu_serve_find_place(struct vu_server *v, unsigned i, const struct vu_serve_spot *near,
			struct vu_serve_spot *ret, struct vu_stat *ret_st)
{
	const struct vu_serve_seen *s = &v->job.seen[i];
	int dir = vu_serve_dir(v, i, VU_VIEW_WHOLLY);
	int r = dir < 0 ? dir : ret_st ? vu_stat_at(dir, s->base, ret_st) : 0;

	ret->dir = -EBADF;
	if (!r && ret_st && ret_st->mount != s->parent.mount)
		r = -EBUSY;
	if (r) {
		vu_serve_leave(v);
		return r;
	}
	return locate(v, i, near, ret);
}

bool vu_serve_read_caller(struct vu_server *v)
{
	struct vu_serve_job *j = &v->job;

	if (!j->has_caller)
		j->has_caller = !vu_caller_read(v->proc, j->tid, &j->caller) &&
				vu_notify_is_valid(v->notify, j->id);
	return j->has_caller;
}

bool vu_serve_is_root(struct vu_server *v)
{
	struct vu_serve_job *j = &v->job;

	if (!j->is_root)
		j->is_root = vu_caller_is_root(&v->ours, v->proc, j->tid) &&
			     !vu_serve_is_limited(v) && vu_notify_is_valid(v->notify, j->id);
	return j->is_root;
}

bool vu_serve_is_limited(struct vu_server *v)
{
	uint32_t who = v->env->limited ? atomic_load(v->env->limited) : VU_LIMITED_NOBODY;

	if (who != VU_LIMITED_SOME)
		return who != VU_LIMITED_NOBODY;
	return !vu_serve_read_caller(v) || v->job.caller.no_new_privs != 0;
}
