/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A notified call, step by step:
 *
 *  1. Its arguments are read, once: the paths, and the flags of openat2.
 *  2. Each path is opened as the process would (cow/view.h), O_PATH only. What is not an object (by its inode
 *     and the pool, not by the flag: an object has none during a moment) needs nothing.
 *  3. The file's directory, as the guest sees it, is opened anew by the mount that the pool is on: only there can
 *     names be exchanged with the stage. It must lie in the guest's root.
 *  4. The name gets a private copy. If it is another file by then, all of it is done again, some times.
 *  5. The kernel goes on with the call, which resolves the path itself.
 *
 * Between 2 and 5 the guest can change everything: the string, the path, the file. Whatever the call finds in
 * the end is a private file or an immutable one. What was copied in vain is a copy of the guest's own.
 *
 * Where only names change (unlink, rename over it, link) nothing need be copied: the call is carried out here,
 * in a moment of the object, with the names as they are found in the directories of 3, and the process gets
 * its result. That is for callers whom the kernel would let do it anywhere (vu_caller_is_root), on mounts that
 * they could write to; all others have it by a copy. dpkg makes a link of each file that it replaces, and
 * removes it afterwards: with copies a reinstallation takes three times as long on ext4.
 *
 * A descriptor is no name: after the copy of its file it is open on the object still. Where the call is about a
 * descriptor, the copy is opened and put in its place.
 *
 * The process may be killed, or be gone, at each step: then the copy is made or it is not, and the answer goes
 * to nobody.
 */
#include "cow/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/budget.h"
#include "cow/caller.h"
#include "cow/view.h"
#include "fs/reopen.h"

#define TRIES 8 /* of a path that the guest changes meanwhile */

struct vu_server {
	const struct vu_supervisor_env *env;
	const struct vu_call_numbers *numbers;
	struct vu_notify *notify;
	struct vu_supervisor_stats *stats;
	struct vu_live_worker *worker; /* owned */
	struct vu_view *view;	       /* owned */
	int proc;		       /* owned; the host's /proc */
	char *text[2];		       /* owned; the paths of the call at hand, PATH_MAX each */
	bool lost;		       /* it cannot get out of the guest's root */
};

/* The call at hand. */
struct job {
	uint64_t id;
	pid_t tid;
	struct vu_call call;
	struct vu_caller caller;
	bool has_caller;
};

/* Where a name is, or is to be. */
struct spot {
	int dir; /* owned; by the pool's mount; -EBADF */
	char base[NAME_MAX + 1];
	char *rel;	       /* owned; relative to the guest's root */
	struct vu_stat parent; /* the directory as the guest sees it */
	bool read_only;	       /* by the guest's mount */
};

/* What is at a path of the call. */
struct found {
	struct vu_stat st;
	struct vu_key key;
	struct spot spot;
	int seen; /* owned; the directory of spot by the guest's mount; -EBADF */
};

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void spot_done(struct spot *s)
{
	vu_close_p(&s->dir);
	free(s->rel);
	s->rel = NULL;
}

static void found_done(struct found *f)
{
	spot_done(&f->spot);
	vu_close_p(&f->seen);
}

static void leave(struct vu_server *v)
{
	/* in a guest's root it must not do anything else */
	if (vu_view_leave(v->view))
		v->lost = true;
}

/* ---- what is there ---- */

/*
 * parent: a directory as the guest sees it, in whose root this thread still is; afterwards it is not. Returns 0;
 * VU_LIVE_BUSY when it is not in the guest's root by the pool's mount; or a negative errno.
 */
static int locate(struct vu_server *v, int parent, struct spot *s)
{
	const struct vu_supervisor_env *env = v->env;
	size_t len = strlen(env->root);
	char path[PATH_MAX];
	struct statvfs vfs;

	leave(v);
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

static const char *text_of(const struct vu_server *v, const struct job *j, unsigned i)
{
	return j->call.path[i].self ? NULL : v->text[i];
}

#define AGAIN 2 /* the guest changed it meanwhile */

/*
 * Is an object there? Returns 1 with all that is known of it, 0, AGAIN, or a negative errno. The thread is in the
 * host's root afterwards.
 */
static int find(struct vu_server *v, const struct job *j, unsigned i, struct found *f)
{
	_cleanup_fd_ int fd =
		vu_view_resolve(v->view, j->tid, &j->call.path[i], text_of(v, j, i), &f->st);
	int r = fd < 0 ? 0 : vu_live_find(v->env->live, &f->st, &f->key);

	f->spot.dir = f->seen = -EBADF;
	if (r <= 0) {
		leave(v); /* what the kernel says of the path it will say to the guest */
		return r;
	}
	_cleanup_fd_ int parent = vu_view_parent(v->view, fd, f->spot.base);

	r = locate(v, parent, &f->spot);
	if (r == -ENOENT || r == -ESTALE)
		return AGAIN;
	if (r)
		return r == VU_LIVE_BUSY ? 0 : r;
	f->seen = vu_take_fd(parent);
	return 1;
}

static bool read_caller(struct vu_server *v, struct job *j)
{
	if (!j->has_caller)
		j->has_caller = !vu_caller_read(v->proc, j->tid, &j->caller) &&
				vu_notify_is_valid(v->notify, j->id);
	return j->has_caller;
}

/* ---- copies ---- */

static int break_names(struct vu_server *v, const struct found *f)
{
	const struct vu_supervisor_env *env = v->env;
	const char **names = NULL;
	uint32_t n = 0;
	int r = vu_names_list(env->names, f->st.version.ino, f->spot.rel, &names, &n);

	if (r)
		return r;
	r = vu_live_break(v->worker, &(struct vu_live_name){
					     .guest = env->guest,
					     .ino = f->st.version.ino,
					     .key = f->key,
					     .paths = names,
					     .n_paths = n,
				     });
	if (!r)
		vu_names_forget(env->names, f->st.version.ino);
	vu_names_list_free(names, n);
	return r;
}

/* Flags and position of a descriptor of the process. */
static int read_fdinfo(const struct vu_server *v, pid_t tid, int number, unsigned long *ret_flags,
		       off_t *ret_at)
{
	char path[64], text[512] = "";
	long long at = 0;

	snprintf(path, sizeof(path), "%d/fdinfo/%d", tid, number);
	_cleanup_fd_ int fd = openat(v->proc, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -EBADF;
	const char *flags = strstr(text, "flags:");

	if (sscanf(text, "pos: %lld", &at) != 1 || !flags ||
	    sscanf(flags, "flags: %lo", ret_flags) != 1)
		return -EIO;
	*ret_at = (off_t)at;
	return 0;
}

/* A link in a /proc may be of another process, whose descriptors are not to be had. */
static bool is_open_on(const struct vu_server *v, pid_t tid, int number, const struct found *f)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%d/fd/%d", tid, number);
	return !fstatat(v->proc, path, &st, 0) && st.st_ino == f->st.version.ino &&
	       st.st_dev == f->st.version.dev;
}

/*
 * A descriptor that only stands for the file (O_PATH) cannot be put in another's place (SECCOMP_IOCTL_NOTIF_ADDFD:
 * EBADF, Linux 6.18): he gets one to read from, if he can make that of it himself, by /proc/self/fd. The C
 * library's fchmodat, systemd and others change metadata so.
 */
static int path_flags(struct vu_server *v, struct job *j, const struct vu_stat *st)
{
	if (!read_caller(v, j))
		return -ESRCH;
	if (vu_caller_is_root(&j->caller, v->proc, j->tid) ||
	    (j->caller.fsuid == st->uid && st->mode & S_IRUSR))
		return O_RDONLY;
	return -EPERM;
}

/*
 * The descriptor that the call is about is open on the object: it is put on the copy, at the same place and
 * with the same flags, by the guest's own mount: another could be written to where his is read-only.
 */
static int replace_descriptor(struct vu_server *v, struct job *j, int number, const struct found *f)
{
	unsigned long flags;
	struct vu_stat st;
	off_t at;

	if (!is_open_on(v, j->tid, number, f))
		return 0;
	int r = read_fdinfo(v, j->tid, number, &flags, &at);

	if (r)
		return r;
	_cleanup_fd_ int pin = openat(f->seen, f->spot.base, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	r = pin < 0 ? -errno : vu_stat_fd(pin, &st);
	if (r)
		return r;
	/* the last who had it got the inode itself */
	if (st.version.ino == f->st.version.ino)
		return 0;
	/* something else is there by now: he may read it only if he could read the one that he has */
	if (st.mode != f->st.mode || st.uid != f->st.uid || st.gid != f->st.gid)
		return -ESTALE;
	r = flags & O_PATH ? path_flags(v, j, &st)
			   : O_RDONLY | (int)(flags & (O_NOATIME | O_NONBLOCK | O_DIRECT));
	_cleanup_fd_ int fd = r < 0 ? r : vu_reopen(pin, r);

	if (fd < 0)
		return fd;
	if (lseek(fd, at, SEEK_SET) < 0)
		return -errno;
	return vu_notify_replace_fd(v->notify, j->id, fd, number, flags & O_CLOEXEC);
}

/*
 * What the kernel would say to a caller who may not, if the file were not immutable: that it sees first, and says EPERM.
 * Of the other operations it is told by more than is known here, or EPERM.
 */
static int refusal_of(const struct vu_call *c)
{
	bool writes = c->op == VU_CALL_OPEN || c->op == VU_CALL_TRUNCATE;

	return writes && !c->resolve ? -EACCES : 0;
}

/* Returns 0, AGAIN, or a negative errno for the guest. */
static int try_copy(struct vu_server *v, struct job *j, unsigned i)
{
	vu_cleanup(found_done) struct found f = {0};
	int r = find(v, j, i, &f), number = vu_view_descriptor(v->view);

	if (r != 1)
		return r;
	if (!read_caller(v, j))
		return 0;
	if (!vu_caller_may(&j->caller, j->call.op, &f.st, &f.spot.parent))
		return refusal_of(&j->call);
	/* of an immutable file EPERM comes first, in some calls */
	if (f.spot.read_only)
		return j->call.resolve ? 0 : -EROFS;
	if (!vu_caller_may_use_reserve(&j->caller, v->proc, j->tid))
		r = vu_budget_room(vu_pool_fd(v->env->pool), f.st.version.size);
	if (r < 0)
		return r;
	vu_budget_wait(v->env->budget, f.st.version.size, v->notify, j->id);
	r = break_names(v, &f);
	if (r == VU_LIVE_CHANGED)
		return AGAIN;
	if (r == VU_LIVE_BUSY) {
		count(&v->stats->refused);
		return 0;
	}
	if (r)
		return r;
	count(&v->stats->broken);
	return number >= 0 ? replace_descriptor(v, j, number, &f) : 0;
}

static int copy_path(struct vu_server *v, struct job *j, unsigned i)
{
	int r = AGAIN;

	for (int k = 0; k < TRIES && r == AGAIN && !v->lost; k++)
		r = try_copy(v, j, i);
	/* the guest is restless: it meets what it has made */
	return r == AGAIN ? 0 : r;
}

/* ---- names alone ---- */

enum outcome {
	NOT_DONE = 0, /* it is none of those, or not to be done here */
	DONE = 1,
};

/* Of a change of names; the directory may be immutable, or something else have come in between. */
static int outcome_of(int r)
{
	if (!r)
		return DONE;
	return r > 0 || r == -EPERM || r == -ESTALE ? NOT_DONE : r;
}

static bool may_act(struct vu_server *v, struct job *j, const struct spot *a, const struct spot *b)
{
	if (a->read_only || (b && (b->read_only || b->parent.mount != a->parent.mount)))
		return false;
	return read_caller(v, j) && vu_caller_is_root(&j->caller, v->proc, j->tid);
}

/* Where a name is to be that need not be there yet. The thread is in the host's root afterwards. */
static int find_place(struct vu_server *v, const struct job *j, unsigned i, struct spot *s)
{
	struct vu_stat st;
	_cleanup_fd_ int dir =
		vu_view_resolve_dir(v->view, j->tid, &j->call.path[i], v->text[i], s->base, &st);

	s->dir = -EBADF;
	return locate(v, dir, s);
}

static struct vu_live_name name_of(const struct vu_server *v, const struct found *f)
{
	return (struct vu_live_name){
		.guest = v->env->guest,
		.ino = f->st.version.ino,
		.key = f->key,
	};
}

static int name_is_gone(struct vu_server *v, const struct job *j, const struct found *f, int r)
{
	if (!r) {
		vu_notify_note_done(v->notify, j->id);
		vu_names_remove(v->env->names, f->st.version.ino, f->spot.rel);
	}
	return outcome_of(r);
}

static int unlink_it(struct vu_server *v, struct job *j)
{
	vu_cleanup(found_done) struct found f = {0};
	int r = find(v, j, 0, &f);

	if (r != 1 || !may_act(v, j, &f.spot, NULL))
		return r == 1 ? NOT_DONE : VU_MIN(r, 0);
	struct vu_live_name name = name_of(v, &f);

	r = vu_live_unlink(v->worker, &name, &(struct vu_live_place){f.spot.dir, f.spot.base});
	return name_is_gone(v, j, &f, r);
}

/* Of an immutable file the kernel says EPERM, before it sees that it is no directory. rmdir(1) tries that first. */
static int rmdir_it(struct vu_server *v, struct job *j)
{
	vu_cleanup(found_done) struct found f = {0};

	/* unlike for all others, the name may end in slashes */
	for (size_t n = strlen(v->text[0]); n > 1 && v->text[0][n - 1] == '/'; n--)
		v->text[0][n - 1] = 0;
	int r = find(v, j, 0, &f);

	return r == 1 && !f.spot.read_only && read_caller(v, j) &&
			       vu_caller_may(&j->caller, j->call.op, &f.st, &f.spot.parent)
		       ? -ENOTDIR
		       : NOT_DONE;
}

/* Something that is no object is renamed over one. */
static int rename_it(struct vu_server *v, struct job *j)
{
	vu_cleanup(found_done) struct found f = {0};
	vu_cleanup(spot_done) struct spot from = {.dir = -EBADF};
	struct vu_stat st;
	struct vu_key key;
	int r = find(v, j, 1, &f);

	if (r != 1)
		return VU_MIN(r, 0);
	_cleanup_fd_ int old =
		vu_view_resolve(v->view, j->tid, &j->call.path[0], text_of(v, j, 0), &st);

	r = old < 0 ? 1 : vu_live_find(v->env->live, &st, &key);
	if (r || S_ISDIR(st.mode)) {
		leave(v);
		return NOT_DONE;
	}
	r = find_place(v, j, 0, &from);
	if (r || !may_act(v, j, &f.spot, &from))
		return NOT_DONE;
	struct vu_live_name name = name_of(v, &f);

	r = vu_live_rename_over(v->worker, &name, &(struct vu_live_place){from.dir, from.base},
				&(struct vu_live_place){f.spot.dir, f.spot.base});
	return name_is_gone(v, j, &f, r);
}

static int link_it(struct vu_server *v, struct job *j)
{
	vu_cleanup(found_done) struct found f = {0};
	vu_cleanup(spot_done) struct spot to = {.dir = -EBADF};
	int r = find(v, j, 0, &f);

	if (r != 1 || j->call.path[0].self)
		return r == 1 ? NOT_DONE : VU_MIN(r, 0);
	r = find_place(v, j, 1, &to);
	if (r || !may_act(v, j, &f.spot, &to))
		return NOT_DONE;
	struct vu_live_name name = name_of(v, &f);

	/* before they are: somebody may write to one of them at once */
	if (vu_names_add(v->env->names, name.ino, f.spot.rel) ||
	    vu_names_add(v->env->names, name.ino, to.rel))
		return NOT_DONE;
	r = vu_live_link(v->worker, &name, &(struct vu_live_place){f.spot.dir, f.spot.base},
			 &(struct vu_live_place){to.dir, to.base});
	if (!r)
		vu_notify_note_done(v->notify, j->id);
	if (r && r != -EEXIST)
		vu_names_remove(v->env->names, name.ino, to.rel);
	/* a copy has room for it */
	return r == -EMLINK ? NOT_DONE : outcome_of(r);
}

/* Returns an outcome, or a negative errno for the guest. */
static int act(struct vu_server *v, struct job *j)
{
	const struct vu_call *c = &j->call;
	int r = NOT_DONE;

	if (c->op == VU_CALL_RMDIR)
		return rmdir_it(v, j);
	if (!v->env->may_act)
		return NOT_DONE;
	if (c->op == VU_CALL_UNLINK)
		r = unlink_it(v, j);
	else if (c->op == VU_CALL_RENAME && c->path[1].need == VU_NEED_GONE)
		r = rename_it(v, j);
	else if (c->op == VU_CALL_LINK)
		r = link_it(v, j);
	return r;
}

/* ---- calls ---- */

static int read_texts(struct vu_server *v, const struct job *j)
{
	for (unsigned i = 0; i < j->call.n_paths; i++) {
		const struct vu_call_path *p = &j->call.path[i];
		ssize_t n = p->self ? 0 : vu_view_read_path(j->tid, p->address, v->text[i]);

		if (n < 0)
			return (int)n;
	}
	return 0;
}

static int decode(struct vu_server *v, const struct seccomp_notif *req, struct job *j)
{
	struct open_how how = {0};
	int r = vu_call_decode(v->numbers, &req->data, &j->call);

	if (r || !j->call.how_address)
		return r;
	r = vu_view_read(j->tid, j->call.how_address, &how, j->call.how_size);
	return r ? r : vu_call_complete(&j->call, &how);
}

/* Returns an outcome (NOT_DONE: the kernel goes on), or a negative errno for the guest. */
static int serve(struct vu_server *v, struct job *j)
{
	int r = act(v, j);

	for (unsigned i = 0; !r && !v->lost && i < j->call.n_paths; i++)
		if (j->call.path[i].need != VU_NEED_NOTHING && j->call.op != VU_CALL_RMDIR)
			r = copy_path(v, j, i);
	return r;
}

int vu_server_answer(struct vu_server *v, const struct seccomp_notif *req)
{
	struct job j = {.id = req->id, .tid = (pid_t)req->pid};
	int r = NOT_DONE;

	count(&v->stats->notified);
	if (vu_notify_is_done(v->notify, j.id)) /* by one that was killed before it could say so */
		r = DONE;
	/* what cannot be decoded or read the kernel has an answer for */
	else if (!decode(v, req, &j) && !read_texts(v, &j))
		r = serve(v, &j);
	if (r < 0 && j.call.op != VU_CALL_RMDIR)
		count(&v->stats->refused);
	/* -ENOENT: nobody waits for it any more */
	if (r == DONE)
		(void)vu_notify_done(v->notify, j.id);
	else if (r < 0)
		(void)vu_notify_fail(v->notify, j.id, r);
	else
		(void)vu_notify_continue(v->notify, j.id);
	return v->lost ? -EIO : 0;
}

/* ---- */

int vu_server_new(const struct vu_supervisor_env *env, const struct vu_call_numbers *numbers,
		  struct vu_notify *notify, struct vu_supervisor_stats *stats,
		  struct vu_server **ret)
{
	struct vu_server *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	*v = (struct vu_server){.env = env, .numbers = numbers, .notify = notify, .stats = stats};
	v->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	v->text[0] = malloc(PATH_MAX);
	v->text[1] = malloc(PATH_MAX);
	int r = v->proc < 0 ? -errno : !v->text[0] || !v->text[1] ? -ENOMEM : 0;

	if (!r)
		r = vu_live_worker_new(env->live, &v->worker);
	if (!r)
		r = vu_view_new(&v->view);
	if (r)
		vu_server_free(v);
	else
		*ret = v;
	return r;
}

struct vu_server *vu_server_free(struct vu_server *v)
{
	if (!v)
		return NULL;
	vu_view_free(v->view);
	vu_live_worker_free(v->worker);
	vu_close_p(&v->proc);
	free(v->text[0]);
	free(v->text[1]);
	free(v);
	return NULL;
}
