/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
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
	vu_close_p(&f->seen);
}

void vu_serve_leave(struct vu_server *v)
{
	if (vu_view_leave(v->view))
		v->lost = true;
}

/*
 * parent: a directory as the guest sees it. The thread is in the host's root afterwards. Returns 0;
 * VU_LIVE_BUSY when it is not in the guest's root by the pool's mount; or a negative errno.
 */
static int locate(struct vu_server *v, int parent, struct vu_serve_spot *s)
{
	const struct vu_supervisor_env *env = v->env;
	size_t len = strlen(env->root);
	char path[PATH_MAX];
	struct statvfs vfs;

	vu_serve_leave(v);
	if (parent < 0 || v->lost)
		return parent < 0 ? parent : -EIO;
	int r = vu_stat_fd(parent, &s->parent);

	if (r)
		return r;
	s->read_only = fstatvfs(parent, &vfs) || vfs.f_flag & ST_RDONLY;
	s->dir = vu_view_on_mount(parent, vu_pool_fd(env->pool));
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

const char *vu_serve_text(const struct vu_server *v, unsigned i)
{
	return v->job.call.path[i].self ? NULL : v->text[i];
}

/* An object is in this directory, whose fd is taken over where it returns 1. As vu_serve_find. */
static int found_in(struct vu_server *v, int *parent, struct vu_serve_found *f)
{
	int r = locate(v, *parent, &f->spot);

	if (r == -ENOENT || r == -ESTALE)
		return VU_SERVE_AGAIN;
	if (r)
		return r == VU_LIVE_BUSY ? 0 : r;
	f->seen = vu_take_fd(*parent);
	return 1;
}

int vu_serve_find(struct vu_server *v, unsigned i, struct vu_serve_found *f)
{
	_cleanup_fd_ int fd = vu_view_resolve(v->view, v->job.tid, &v->job.call.path[i],
					      vu_serve_text(v, i), VU_VIEW_WHOLLY, &f->st);
	int r = fd < 0 ? 0 : vu_live_find(v->env->live, &f->st, &f->key);

	f->spot.dir = f->seen = -EBADF;
	if (r <= 0) {
		vu_serve_leave(v); /* what the kernel says of the path it will say to the guest */
		return r;
	}
	_cleanup_fd_ int parent = vu_view_parent(v->view, fd, f->spot.base);

	return found_in(v, &parent, f);
}

int vu_serve_open_dir(struct vu_server *v, unsigned i)
{
	struct vu_serve_seen *s = &v->job.seen[i];

	if (s->dir >= 0)
		return vu_take_fd(s->dir);
	return vu_view_resolve_dir(v->view, v->job.tid, &v->job.call.path[i], v->text[i],
				   VU_VIEW_WHOLLY, s->base, &s->parent);
}

int vu_serve_find_name(struct vu_server *v, unsigned i, struct vu_serve_found *f)
{
	const struct vu_serve_seen *s = &v->job.seen[i];
	_cleanup_fd_ int parent = vu_serve_open_dir(v, i);
	int r = parent < 0 || vu_stat_at(parent, s->base, &f->st)
			? 0
			: vu_live_find(v->env->live, &f->st, &f->key);

	f->spot.dir = f->seen = -EBADF;
	/* what the kernel says of the path it will say to the guest; also where something is mounted at it */
	if (r <= 0 || f->st.mount != s->parent.mount) {
		vu_serve_leave(v);
		return VU_MIN(r, 0);
	}
	strcpy(f->spot.base, s->base);
	return found_in(v, &parent, f);
}

int vu_serve_find_place(struct vu_server *v, unsigned i, struct vu_serve_spot *s,
			struct vu_stat *ret_st)
{
	const struct vu_serve_seen *seen = &v->job.seen[i];
	_cleanup_fd_ int dir = vu_serve_open_dir(v, i);
	int r = dir < 0 ? dir : ret_st ? vu_stat_at(dir, seen->base, ret_st) : 0;

	s->dir = -EBADF;
	if (!r && ret_st && ret_st->mount != seen->parent.mount)
		r = -EBUSY;
	strcpy(s->base, seen->base);
	return locate(v, r ? r : dir, s);
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
			     vu_notify_is_valid(v->notify, j->id);
	return j->is_root;
}
