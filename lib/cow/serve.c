/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A notified call, step by step:
 *
 *  1. Its arguments are read, once: the paths, and the flags of openat2.
 *  2. Each path is opened as the process would (cow/view.h), O_PATH only. What is not an object (by its inode
 *     and the pool, not by the flag: an object has none during a moment) needs nothing. That is what most calls
 *     come to, and it is found out first, by as few system calls as there can be (vu_server_glance).
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
 * its result. That is for callers whom the kernel would let do it anywhere (vu_caller_is_root; not under
 * Landlock), on mounts that they could write to; all others have it by a copy. dpkg makes a link of each file that it replaces, and
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
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/ruleset.h"
#include "cow/serve-int.h"

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* ---- the call ---- */

static int read_texts(struct vu_server *v)
{
	const struct vu_call *c = &v->job.call;
	const uint64_t two[] = {c->path[0].address, c->path[1].address};

	if (c->n_paths == 2 && !c->path[0].self && vu_view_read_two(v->job.tid, two, v->text))
		return 0;
	for (unsigned i = 0; i < c->n_paths; i++) {
		const struct vu_call_path *p = &c->path[i];
		ssize_t n = p->self ? 0 : vu_view_read_path(v->job.tid, p->address, v->text[i]);

		if (n < 0)
			return (int)n;
		/* unlike for all others, the name may end in slashes */
		for (; c->op == VU_CALL_RMDIR && n > 1 && v->text[i][n - 1] == '/'; n--)
			v->text[i][n - 1] = 0;
	}
	return 0;
}

static int decode(struct vu_server *v, const struct seccomp_notif *req)
{
	struct vu_call *c = &v->job.call;
	struct open_how how = {0};
	int r = vu_call_decode(v->numbers, &req->data, c);

	if (!r && c->how_address) {
		r = vu_view_read(v->job.tid, c->how_address, &how, c->how_size);
		r = r ? r : vu_call_complete(c, &how);
	}
	return r ? r : read_texts(v);
}

/* Is the call about the last name of this path itself, in its directory? */
static bool is_about_name(const struct vu_call *c, unsigned i)
{
	switch (c->op) {
	case VU_CALL_UNLINK:
	case VU_CALL_RMDIR:
	case VU_CALL_RENAME:
	case VU_CALL_EXCHANGE:
	case VU_CALL_LINK:
		return !c->path[i].follow && !c->path[i].empty_self;
	default:
		return false;
	}
}

/* The same by its directory. */
static int look_in_dir(struct vu_server *v, unsigned i, struct vu_stat *ret)
{
	const struct vu_serve_seen *s = &v->job.seen[i];
	int dir = vu_serve_dir(v, i, VU_VIEW_QUICKLY);

	if (dir < 0)
		return dir;
	/* of another file system, which may have to be waited for, nothing is shared */
	return s->parent.version.dev == vu_pool_dev(v->env->pool) ? vu_stat_at(dir, s->base, ret)
								  : -EXDEV;
}

/* What is at the i-th path? Returns 0; -EAGAIN where that is not to be told quickly; or what the kernel says. */
static int look(struct vu_server *v, unsigned i, struct vu_stat *ret)
{
	const struct vu_call_path *p = &v->job.call.path[i];
	char base[NAME_MAX + 1];
	int r;

	if (!is_about_name(&v->job.call, i))
		return vu_view_look(v->view, v->job.tid, p, v->text[i], ret);
	if (vu_view_split(v->text[i], base) < 0)
		return -EINVAL;
	/* for an object its directory is needed besides */
	if (v->meets_objects && v->job.call.op != VU_CALL_RMDIR && strchr(v->text[i], '/'))
		return look_in_dir(v, i, ret);
	r = vu_view_look(v->view, v->job.tid, p, v->text[i], ret);
	return r == -EAGAIN ? look_in_dir(v, i, ret) : r;
}

/* May there be something to do for it? */
static bool look_at_all(struct vu_server *v)
{
	const struct vu_call *c = &v->job.call;

	for (unsigned i = 0; i < c->n_paths; i++) {
		struct vu_stat st;
		struct vu_key key;
		int r = c->path[i].need == VU_NEED_NOTHING ? -ENOENT : look(v, i, &st);

		if (r == -EAGAIN || (!r && vu_live_find(v->env->live, &st, &key)))
			return true;
	}
	return false;
}

/* Of a name in an open directory; or "." */
static bool has_acl(int dir, const char *name)
{
	char path[NAME_MAX + 32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	return lgetxattr(path, "system.posix_acl_access", NULL, 0) >= 0;
}

static bool is_same(const struct vu_stat *a, const struct vu_stat *b)
{
	return a->version.ino == b->version.ino && a->version.dev == b->version.dev;
}

/* Where the path begins; the guest's root where that cannot be told. */
static int begin_of(const struct vu_server *v, struct vu_stat *ret)
{
	int dirfd = v->job.call.path[0].dirfd;
	char path[48];

	if (dirfd == AT_FDCWD)
		snprintf(path, sizeof(path), "%d/cwd", v->job.tid);
	else
		snprintf(path, sizeof(path), "%d/fd/%d", v->job.tid, dirfd);
	if (*v->text[0] != '/' && !vu_stat_follow(v->proc, path, ret))
		return 0;
	return vu_stat_fd(v->env->root_fd, ret);
}

/* May he search the directories on the way, from where the path begins? False where that cannot be told. */
static bool may_search(const struct vu_server *v, const struct vu_serve_spot *s)
{
	_cleanup_fd_ int at = fcntl(s->dir, F_DUPFD_CLOEXEC, 0);
	struct vu_stat st, root, begin;

	if (vu_view_descriptor(v->view) >= 0)
		return true;
	if (begin_of(v, &begin) || vu_stat_fd(v->env->root_fd, &root))
		return false;
	while (at >= 0 && !vu_stat_fd(at, &st) &&
	       !vu_caller_search(&v->job.caller, v->job.call.real, &st, has_acl(at, "."))) {
		if (is_same(&st, &begin) || is_same(&st, &root))
			return true;
		int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		vu_close_p(&at);
		at = up;
	}
	return false;
}

/* It would be given a copy: so the answer is what it is of a file of its own, and nothing is copied for a question. */
static int tell_access(struct vu_server *v)
{
	vu_cleanup(vu_serve_found_done) struct vu_serve_found f = {0};
	const struct vu_call *c = &v->job.call;
	int r = vu_serve_find(v, 0, &f);

	if (r != 1 || !vu_serve_read_caller(v))
		return VU_SERVE_NOT_DONE;
	r = vu_caller_access(&v->job.caller, c->mode, c->real, &f.st,
			     has_acl(f.spot.dir, f.spot.base));
	/* what the kernel says of an immutable file is wrong, but not what it says of the way there */
	if (r == 1 || (!r && !may_search(v, &f.spot)))
		return VU_SERVE_NOT_DONE;
	return r ? r : f.spot.read_only ? -EROFS : VU_SERVE_DONE;
}

/* Returns an outcome (VU_SERVE_NOT_DONE: the kernel goes on), or a negative errno for the guest. */
static int serve(struct vu_server *v)
{
	const struct vu_call *c = &v->job.call;

	if (c->op == VU_CALL_ACCESS)
		return tell_access(v);
	int r = vu_serve_names(v);

	for (unsigned i = 0; !r && !v->lost && i < c->n_paths; i++)
		if (c->path[i].need != VU_NEED_NOTHING && c->op != VU_CALL_RMDIR)
			r = vu_serve_copy(v, i);
	return r;
}

static void answer(struct vu_server *v, int r)
{
	uint64_t id = v->job.id;

	/* before: what is open may hold up an unmount */
	for (unsigned i = 0; i < VU_ARRAY_SIZE(v->job.seen); i++)
		vu_close_p(&v->job.seen[i].dir);
	vu_view_end(v->view);
	/* -ENOENT: nobody waits for it any more */
	if (r == VU_SERVE_DONE)
		(void)vu_notify_done(v->notify, id);
	else if (r < 0)
		(void)vu_notify_fail(v->notify, id, r);
	else
		(void)vu_notify_continue(v->notify, id);
}

static bool is_open(struct vu_server *v)
{
	const struct vu_call *c = &v->job.call;
	bool open = look_at_all(v);

	if (is_about_name(c, c->n_paths - 1) && c->op != VU_CALL_RMDIR)
		v->meets_objects = open;
	return open;
}

/*
 * He limits himself, and all whom he makes from now on: for that he has no_new_privs, or CAP_SYS_ADMIN, which he may give
 * away afterwards. Who has ended has not done it.
 */
static void note_limits(struct vu_server *v)
{
	uint32_t who = VU_LIMITED_ANYBODY, was;

	if (!v->env->limited ||
	    (!vu_serve_read_caller(v) && !vu_notify_is_valid(v->notify, v->job.id)))
		return;
	if (v->job.has_caller && v->job.caller.no_new_privs == 1)
		who = VU_LIMITED_SOME;
	was = atomic_load(v->env->limited);
	while (was < who && !atomic_compare_exchange_weak(v->env->limited, &was, who))
		;
}

bool vu_server_glance(struct vu_server *v, const struct seccomp_notif *req)
{
	struct vu_serve_job *j = &v->job;

	j->id = req->id;
	j->tid = (pid_t)req->pid;
	j->seen[0].dir = j->seen[1].dir = -EBADF;
	j->has_caller = j->is_root = false;
	count(&v->stats->notified);
	vu_view_begin(v->view);
	if (vu_notify_is_done(v->notify,
			      j->id)) { /* by one that was killed before it could say so */
		answer(v, VU_SERVE_DONE);
	} else if (req->data.nr == VU_RULE_LANDLOCK_NR) {
		note_limits(v);
		answer(v, VU_SERVE_NOT_DONE);
	} else if (decode(v, req) || (!vu_notify_tried(v->notify, j->id) && !is_open(v))) {
		/* what cannot be decoded or read the kernel has an answer for */
		answer(v, VU_SERVE_NOT_DONE);
	} else {
		return false;
	}
	return true;
}

int vu_server_answer(struct vu_server *v)
{
	int r = serve(v);

	if (r < 0 && v->job.call.op != VU_CALL_RMDIR && v->job.call.op != VU_CALL_ACCESS)
		count(&v->stats->refused);
	answer(v, r);
	return v->lost ? -EIO : 0;
}

/* ---- */

int vu_server_new(const struct vu_supervisor_env *env, const struct vu_call_numbers *numbers,
		  struct vu_notify *notify, struct vu_supervisor_stats *stats,
		  struct vu_server **ret)
{
	struct vu_server *v = calloc(1, sizeof(*v));
	struct vu_stat root;

	if (!v)
		return -ENOMEM;
	*v = (struct vu_server){.env = env,
				.numbers = numbers,
				.notify = notify,
				.stats = stats,
				.place.fd = -EBADF};
	v->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	v->text[0] = malloc(PATH_MAX);
	v->text[1] = malloc(PATH_MAX);
	int r = v->proc < 0 ? -errno : !v->text[0] || !v->text[1] ? -ENOMEM : 0;

	if (!r)
		r = vu_caller_ours_read(v->proc, &v->ours);
	if (!r)
		r = vu_live_worker_new(env->live, &v->worker);
	if (!r)
		r = vu_stat_fd(env->root_fd, &root);
	if (!r)
		r = vu_view_new(vu_pool_dev(env->pool), root.version.ino, &v->view);
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
	vu_close_p(&v->place.fd);
	free(v->text[0]);
	free(v->text[1]);
	free(v);
	return NULL;
}
