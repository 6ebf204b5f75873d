/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cow/budget.h"
#include "cow/serve-int.h"
#include "fs/reopen.h"

#define TRIES 8	    /* of a path that the guest changes meanwhile */
#define LARGE 65536 /* bytes; to copy less costs no more than to find out whether it is needed */
#define ROOM 16	    /* descriptors; other threads open files too */
#define GONE 1	    /* nobody waits for it any more */

/* Has the process room for one more descriptor? Told by Linux 6.2; before, the directory has no size. */
static bool has_room(const struct vu_server *v)
{
	char path[32];
	struct vu_stat st;
	struct rlimit limit;

	snprintf(path, sizeof(path), "%d/fd", v->job.tid);
	return !vu_stat_at(v->proc, path, &st) && st.version.size &&
	       !prlimit(v->job.tid, RLIMIT_NOFILE, NULL, &limit) &&
	       st.version.size + ROOM < limit.rlim_cur;
}

/*
 * Is the content surely cut off, once the kernel goes on with the call? Where that fails all the same, the guest has
 * lost it. So it is said only of large files, whose copy costs, and where all is known that could come in between:
 * rights, limits, and what open refuses because of the file or of other flags.
 */
static bool is_cut_for_sure(struct vu_server *v, unsigned i, const struct vu_serve_found *f)
{
	const struct vu_call *c = &v->job.call;
	bool plain = !(f->st.attributes &
		       (STATX_ATTR_APPEND | STATX_ATTR_VERITY | STATX_ATTR_ENCRYPTED));
	/* fs.protected_regular */
	bool protected = c->open_flags & O_CREAT && f->spot.parent.mode & S_ISVTX;

	/* not may_act: it waits interruptibly, and a signal may make it EINTR */
	if (!v->env->may_act || c->path[i].need != VU_NEED_METADATA || f->st.version.size < LARGE ||
	    !plain || protected || f->spot.read_only)
		return false;
	if (!(c->arch & __AUDIT_ARCH_64BIT) || c->resolve || c->open_flags & O_DIRECT)
		return false;
	return vu_serve_is_root(v) && (c->op == VU_CALL_TRUNCATE || has_room(v));
}

static int break_names(struct vu_server *v, const struct vu_serve_found *f, bool empty)
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
					     .empty = empty,
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
static bool is_open_on(const struct vu_server *v, pid_t tid, int number,
		       const struct vu_serve_found *f)
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
static int path_flags(struct vu_server *v, const struct vu_stat *st)
{
	if (vu_serve_is_root(v))
		return O_RDONLY;
	if (!vu_serve_read_caller(v))
		return -ESRCH;
	if (vu_serve_is_limited(v))
		return -EPERM;
	if (v->job.caller.fsuid == st->uid && st->mode & S_IRUSR)
		return O_RDONLY;
	return -EPERM;
}

/*
 * The descriptor that the call is about is open on the object: it is put on the copy, at the same place and
 * with the same flags, by the guest's own mount: another could be written to where his is read-only.
 */
static int replace_descriptor(struct vu_server *v, unsigned i, int number,
			      const struct vu_serve_found *f)
{
	unsigned long flags;
	struct vu_stat st;
	off_t at;

	if (!is_open_on(v, v->job.tid, number, f))
		return 0;
	int r = read_fdinfo(v, v->job.tid, number, &flags, &at);

	if (r)
		return r;
	_cleanup_fd_ int pin =
		openat(v->job.seen[i].dir, f->spot.base, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (pin < 0)
		return -errno;
	r = vu_stat_fd(pin, &st);
	if (r)
		return r;
	/* the last who had it got the inode itself */
	if (st.version.ino == f->st.version.ino)
		return 0;
	/* something else is there by now: he may read it only if he could read the one that he has */
	if (st.mode != f->st.mode || st.uid != f->st.uid || st.gid != f->st.gid)
		return -ESTALE;
	r = flags & O_PATH ? path_flags(v, &st)
			   : O_RDONLY | (int)(flags & (O_NOATIME | O_NONBLOCK | O_DIRECT));
	_cleanup_fd_ int fd = r < 0 ? r : vu_reopen(pin, r);

	if (fd < 0)
		return fd;
	if (lseek(fd, at, SEEK_SET) < 0)
		return -errno;
	return vu_notify_replace_fd(v->notify, v->job.id, fd, number, flags & O_CLOEXEC);
}

/*
 * What the kernel would say to a caller who may not, if the file were not immutable: that it sees first, and
 * says EPERM. Of the other operations it is told by more than is known here, or EPERM.
 */
static int refusal_of(const struct vu_call *c)
{
	bool writes = c->op == VU_CALL_OPEN || c->op == VU_CALL_TRUNCATE;

	return writes && !c->resolve ? -EACCES : 0;
}

/* Is there room for a copy, and has its turn come? Returns 0, GONE, or a negative errno for the guest. */
static int spend(struct vu_server *v, uint64_t bytes)
{
	const struct vu_serve_job *j = &v->job;
	int r = 0;

	if (!vu_caller_may_use_reserve(&j->caller, &v->ours, v->proc, j->tid))
		r = vu_budget_room(vu_pool_fd(v->env->pool), bytes);
	if (!r && !vu_budget_wait(v->env->budget, bytes, v->notify, j->id))
		r = GONE;
	return r;
}

/* Returns 0, VU_SERVE_AGAIN, or a negative errno for the guest. */
static int try_copy(struct vu_server *v, unsigned i)
{
	vu_cleanup(vu_serve_found_done) struct vu_serve_found f = {0};
	int r = vu_serve_find(v, i, &f), number = vu_view_descriptor(v->view);

	if (r != 1)
		return r;
	if (!vu_serve_read_caller(v))
		return 0;
	if (!vu_caller_may(&v->job.caller, v->job.call.op, &f.st, &f.spot.parent))
		return refusal_of(&v->job.call);
	/* of an immutable file EPERM comes first, in some calls */
	if (f.spot.read_only)
		return v->job.call.resolve ? 0 : -EROFS;
	bool empty = is_cut_for_sure(v, i, &f);

	r = spend(v, empty ? 0 : f.st.version.size);
	if (r)
		return r == GONE ? 0 : r;
	/* the last look before what cannot be undone */
	if (empty && !vu_notify_is_valid(v->notify, v->job.id))
		return 0;
	r = break_names(v, &f, empty);
	if (r == VU_LIVE_CHANGED)
		return VU_SERVE_AGAIN;
	if (r == VU_LIVE_BUSY) {
		__atomic_fetch_add(&v->stats->refused, 1, __ATOMIC_RELAXED);
		return 0;
	}
	if (r)
		return r;
	__atomic_fetch_add(&v->stats->broken, 1, __ATOMIC_RELAXED);
	return number >= 0 ? replace_descriptor(v, i, number, &f) : 0;
}

int vu_serve_copy(struct vu_server *v, unsigned i)
{
	int r = VU_SERVE_AGAIN;

	for (int k = 0; k < TRIES && r == VU_SERVE_AGAIN && !v->lost; k++)
		r = try_copy(v, i);
	/* the guest is restless: it meets what it has made */
	return r == VU_SERVE_AGAIN ? 0 : r;
}
