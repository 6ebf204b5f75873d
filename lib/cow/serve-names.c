/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "cow/serve-int.h"

/* Of a change of names; the directory may be immutable, or something else have come in between. */
static int outcome_of(int r)
{
	if (!r)
		return VU_SERVE_DONE;
	return r > 0 || r == -EPERM || r == -ESTALE ? VU_SERVE_NOT_DONE : r;
}

static bool may_act(struct vu_server *v, const struct vu_serve_spot *a,
		    const struct vu_serve_spot *b)
{
	if (a->read_only || (b && (b->read_only || b->parent.mount != a->parent.mount)))
		return false;
	return vu_serve_is_root(v);
}

static struct vu_live_name name_of(const struct vu_server *v, const struct vu_serve_found *f)
{
	return (struct vu_live_name){
		.guest = v->env->guest,
		.ino = f->st.version.ino,
		.key = f->key,
		.changing = vu_notify_note_trying,
		.changed = vu_notify_note_done,
		.changed_arg = v->notify,
	};
}

static int name_is_gone(struct vu_server *v, const struct vu_serve_found *f, int r)
{
	if (!r)
		vu_names_remove(v->env->names, f->st.version.ino, f->spot.dir, f->spot.base);
	return outcome_of(r);
}

static int unlink_it(struct vu_server *v)
{
	vu_cleanup(vu_serve_found_done) struct vu_serve_found f = {0};
	int r = vu_serve_find_name(v, 0, &f);

	if (r != 1 || !may_act(v, &f.spot, NULL))
		return r == 1 ? VU_SERVE_NOT_DONE : VU_MIN(r, 0);
	struct vu_live_name name = name_of(v, &f);

	r = vu_live_unlink(v->worker, &name, &(struct vu_live_place){f.spot.dir, f.spot.base});
	return name_is_gone(v, &f, r);
}

/* Of an immutable file the kernel says EPERM, before it sees that it is no directory. rmdir(1) tries that first. */
static int rmdir_it(struct vu_server *v)
{
	const struct vu_serve_seen *s = &v->job.seen[0];
	int dir = vu_serve_dir(v, 0, VU_VIEW_WHOLLY);
	struct statvfs vfs;
	struct vu_stat st;
	struct vu_key key;
	bool may = dir >= 0 && !vu_stat_at(dir, s->base, &st) &&
		   vu_live_find(v->env->live, &st, &key) == 1 && !fstatvfs(dir, &vfs) &&
		   !(vfs.f_flag & ST_RDONLY);

	vu_serve_leave(v);
	may = may && (vu_serve_is_root(v) ||
		      (vu_serve_read_caller(v) &&
		       vu_caller_may(&v->job.caller, v->job.call.op, &st, &s->parent)));
	return may ? -ENOTDIR : VU_SERVE_NOT_DONE;
}

/* Something that is no object is renamed over one. */
static int rename_it(struct vu_server *v)
{
	vu_cleanup(vu_serve_found_done) struct vu_serve_found f = {0};
	vu_cleanup(vu_serve_spot_done) struct vu_serve_spot from = {.dir = -EBADF};
	struct vu_stat st;
	struct vu_key key;
	int r = vu_serve_find_name(v, 1, &f);

	if (r != 1)
		return VU_MIN(r, 0);
	r = vu_serve_find_place(v, 0, &f.spot, &from, &st);
	if (r || S_ISDIR(st.mode) || vu_live_find(v->env->live, &st, &key) ||
	    !may_act(v, &f.spot, &from))
		return VU_SERVE_NOT_DONE;
	struct vu_live_name name = name_of(v, &f);

	r = vu_live_rename_over(v->worker, &name, &(struct vu_live_place){from.dir, from.base},
				&(struct vu_live_place){f.spot.dir, f.spot.base});
	return name_is_gone(v, &f, r);
}

static int link_it(struct vu_server *v)
{
	vu_cleanup(vu_serve_found_done) struct vu_serve_found f = {0};
	vu_cleanup(vu_serve_spot_done) struct vu_serve_spot to = {.dir = -EBADF};
	const struct vu_call_path *is = &v->job.call.path[0];
	int r = is->follow || is->empty_self ? vu_serve_find(v, 0, &f)
					     : vu_serve_find_name(v, 0, &f);

	/* one with a copy makes its names without anybody who has to know them */
	if (r != 1 || is->self || !vu_names_has_room(v->env->names))
		return r == 1 ? VU_SERVE_NOT_DONE : VU_MIN(r, 0);
	r = vu_serve_find_place(v, 1, &f.spot, &to, NULL);
	if (r || !may_act(v, &f.spot, &to))
		return VU_SERVE_NOT_DONE;
	struct vu_live_name name = name_of(v, &f);

	/* before they are: somebody may write to one of them at once */
	if (vu_names_add(v->env->names, name.ino, f.spot.dir, f.spot.base) ||
	    vu_names_add(v->env->names, name.ino, to.dir, to.base))
		return VU_SERVE_NOT_DONE;
	r = vu_live_link(v->worker, &name, &(struct vu_live_place){f.spot.dir, f.spot.base},
			 &(struct vu_live_place){to.dir, to.base});
	if (r && r != -EEXIST)
		vu_names_remove(v->env->names, name.ino, to.dir, to.base);
	/* a copy has room for it */
	return r == -EMLINK ? VU_SERVE_NOT_DONE : outcome_of(r);
}

/*
 * The worker before this one was killed in the system call that makes the change: did it come to that? Nobody else has
 * made it since: whoever asked for it waits.
 */
static bool was_made(struct vu_server *v, uint64_t ino)
{
	const struct vu_call *c = &v->job.call;
	struct vu_stat st[2] = {0};

	for (unsigned i = 0; i < c->n_paths; i++) {
		_cleanup_fd_ int fd = vu_view_resolve(v->view, v->job.tid, &c->path[i],
						      vu_serve_text(v, i), VU_VIEW_WHOLLY, &st[i]);

		vu_serve_leave(v);
		if (fd < 0)
			st[i].version.ino = 0;
	}
	if (c->op == VU_CALL_LINK)
		return st[0].version.ino == ino && st[1].version.ino == ino;
	return c->op == VU_CALL_UNLINK ? st[0].version.ino != ino : !st[0].version.ino;
}

int vu_serve_names(struct vu_server *v)
{
	uint64_t tried = vu_notify_tried(v->notify, v->job.id);

	const struct vu_call *c = &v->job.call;
	int r = VU_SERVE_NOT_DONE;

	if (c->op == VU_CALL_RMDIR)
		return rmdir_it(v);
	if (!v->env->may_act)
		return VU_SERVE_NOT_DONE;
	if (tried && was_made(v, tried))
		return VU_SERVE_DONE;
	if (c->op == VU_CALL_UNLINK)
		r = unlink_it(v);
	else if (c->op == VU_CALL_RENAME && c->path[1].need == VU_NEED_GONE)
		r = rename_it(v);
	else if (c->op == VU_CALL_LINK)
		r = link_it(v);
	return r;
}
