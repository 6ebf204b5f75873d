/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory is known by its descriptor alone, from when it is entered until it is removed; nobody goes up
 * by "..". One that lies too deep for that is moved to the top, and its turn comes later: so a tree of
 * any depth needs DEPTH_MAX descriptors, and no path. Names of objects wait for their batch (link/naming.h),
 * and a directory waits for these: it is counted, and removed with its last reference, its parent then.
 *
 * A name in a directory whose inode number is an object's is taken for that object's name. If it is another
 * file's by now, that is removed in its place, which it was to be anyway, or it is left for another pass.
 */
#include "link/rmtree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "fs/beneath.h"
#include "fs/guard.h"
#include "fs/iattr.h"
#include "link/naming.h"

#define DEPTH_MAX 32   /* levels below the top that are entered before a directory is moved there */
#define OPEN_MAX 1024  /* directories that are open at a time; fewer where descriptors are scarce */
#define OPEN_MIN 64    /* more than are being listed */
#define PASSES_MAX 100 /* over the top, with less in it each time */

/* A directory that goes away. */
struct doomed {
	struct doomed *parent; /* NULL: it is in the top */
	int fd;		       /* owned */
	unsigned refs;	       /* names in it that wait, directories in it, and who lists it */
	char name[];
};

/* One that is being listed. */
struct frame {
	struct doomed *dir;
	DIR *list; /* owned */
};

struct rmtree {
	const struct vu_rmtree_env *env;
	struct vu_rmtree_stats *stats;
	struct vu_naming *naming; /* owned */
	int top;
	struct frame stack[DEPTH_MAX];
	unsigned depth;
	unsigned n_open, max_open;
	unsigned n_since;   /* opened since names were given to threads the last time */
	uint64_t next_name; /* of what is moved to the top */
	uint64_t done;	    /* whatever was removed or moved */
	bool again;	    /* not the first pass: what fails now is told */
};

static void count(struct rmtree *t, uint64_t *counter)
{
	++*counter;
	t->done++;
	if (t->env->progress)
		vu_progress_add(t->env->progress, 1, 0);
}

static void fail(struct rmtree *t, const char *name, int err)
{
	if (!t->again)
		return;
	t->stats->failed++;
	if (t->env->failed)
		t->env->failed(t->env->arg, name, err);
}

static int fd_of(const struct rmtree *t, const struct doomed *d)
{
	return d ? d->fd : t->top;
}

/* ---- flags ---- */

/* Of a file or directory that is no object. Returns whether it can be tried again. */
static bool clear_flags(struct rmtree *t, int dir, const char *name)
{
	int flags = 0;
	_cleanup_fd_ int fd = -EBADF;

	if (!t->env->clear_flags)
		return false;
	fd = vu_regular_open(dir, name, NULL);
	if (fd < 0)
		fd = vu_beneath_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) ||
	    !(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)))
		return false;
	flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	return !ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

/* unlinkat(2), also of what somebody has made immutable; and what lies in a directory that is. */
static int remove_name(struct rmtree *t, const struct doomed *in, const char *name, int how)
{
	int dir = fd_of(t, in), flags = 0;

	for (int tries = 0;; tries++) {
		if (!unlinkat(dir, name, how))
			return 0;
		if ((errno != EPERM && errno != EACCES) || tries > 1)
			return -errno;
		if (clear_flags(t, dir, name))
			continue;
		if (!t->env->clear_flags || !in || ioctl(dir, FS_IOC_GETFLAGS, &flags))
			return -EPERM;
		flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
		if (ioctl(dir, FS_IOC_SETFLAGS, &flags))
			return -EPERM;
	}
}

/* ---- directories ---- */

static void unref(struct rmtree *t, struct doomed *d)
{
	while (d && !--d->refs) {
		struct doomed *parent = d->parent;
		int r = remove_name(t, parent, d->name, AT_REMOVEDIR);

		/* not empty: something in it was told, or has just come, and the next pass finds it */
		if (!r)
			count(t, &t->stats->dirs);
		else if (r != -ENOTEMPTY && r != -EEXIST && r != -ENOENT)
			fail(t, d->name, r);
		close(d->fd);
		free(d);
		t->n_open--;
		d = parent;
	}
}

/* Opens a directory; nothing that is mounted there, nor another subvolume. */
static int open_dir(const struct rmtree *t, int parent, const char *name)
{
	_cleanup_fd_ int fd =
		vu_beneath_open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME);
	struct vu_stat st;

	if (fd < 0)
		return fd;
	int r = vu_stat_fd(fd, &st);

	if (!r && st.version.dev != vu_pool_dev(t->env->pool))
		r = -EXDEV;
	return r ? r : vu_take_fd(fd);
}

static int push(struct rmtree *t, struct doomed *parent, const char *name, int fd_consume)
{
	_cleanup_fd_ int fd = fd_consume, again = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	size_t len = strlen(name) + 1;
	struct doomed *d = again < 0 ? NULL : malloc(sizeof(*d) + len);
	DIR *list = d ? fdopendir(again) : NULL;

	if (!list) {
		int r = errno ? -errno : -ENOMEM;

		vu_close_p(&again);
		free(d);
		return r;
	}
	again = -EBADF;
	*d = (struct doomed){.parent = parent, .fd = vu_take_fd(fd), .refs = 1};
	memcpy(d->name, name, len);
	if (parent)
		parent->refs++;
	t->n_open++;
	t->stack[t->depth++] = (struct frame){.dir = d, .list = list};
	return 0;
}

static void pop(struct rmtree *t)
{
	struct frame *f = &t->stack[--t->depth];

	closedir(f->list);
	unref(t, f->dir);
}

/* Too deep: to be done from the top. */
static int move_to_top(struct rmtree *t, const struct doomed *in, const char *name)
{
	char to[32];

	for (;;) {
		snprintf(to, sizeof(to), "d-%llu", (unsigned long long)t->next_name++);
		if (!renameat2(fd_of(t, in), name, t->top, to, RENAME_NOREPLACE)) {
			t->done++;
			return 0;
		}
		if (errno == EEXIST)
			continue;
		if (errno != EPERM || !clear_flags(t, fd_of(t, in), name))
			return errno == ENOENT ? 0 : -errno;
	}
}

/* Directories that wait for their names do not become too many, and threads have always something to do. */
static int make_room(struct rmtree *t)
{
	if (t->n_open >= t->max_open)
		return vu_naming_flush(t->naming);
	if (++t->n_since < t->max_open / 2)
		return 0;
	t->n_since = 0;
	return vu_naming_push(t->naming);
}

static int enter(struct rmtree *t, struct doomed *in, const char *name)
{
	int r = make_room(t);

	if (r)
		return r;
	if (t->depth == DEPTH_MAX) {
		r = move_to_top(t, in, name);
		if (r)
			fail(t, name, r);
		return 0;
	}
	int fd = open_dir(t, fd_of(t, in), name);

	if (fd >= 0)
		return push(t, in, name, fd);
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return fd;
	if (fd != -ENOENT)
		fail(t, name, fd);
	return 0;
}

/* ---- names ---- */

static int plain(struct rmtree *t, struct doomed *in, const char *name)
{
	int r = remove_name(t, in, name, 0);

	if (r == -EISDIR)
		return enter(t, in, name);
	if (!r)
		count(t, &t->stats->files);
	else if (r != -ENOENT)
		fail(t, name, r);
	return 0;
}

static void named(void *arg, void *cookie, const char *name, uint64_t ino, int r)
{
	struct rmtree *t = arg;
	struct doomed *in = cookie;

	(void)ino;
	if (!r)
		count(t, &t->stats->names);
	else if (r == -ENOENT && !remove_name(t, in, name, 0)) /* no object any more */
		count(t, &t->stats->files);
	else if (r != -ECANCELED)
		fail(t, name, r > 0 ? -ETXTBSY : r);
	unref(t, in);
}

static int entry(struct rmtree *t, struct doomed *in, const struct dirent *e)
{
	const struct vu_key *key;

	if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
		return 0;
	if (e->d_type == DT_DIR)
		return enter(t, in, e->d_name);
	key = vu_pool_listing_find(t->env->objects, e->d_ino);
	if (!key || !in || (e->d_type != DT_REG && e->d_type != DT_UNKNOWN))
		return plain(t, in, e->d_name);
	in->refs++;
	return vu_naming_add(t->naming, key, e->d_ino, in->fd, e->d_name, in);
}

/* Lists what is on the stack until that is empty. */
static int list_all(struct rmtree *t)
{
	int r = 0;

	while (!r && t->depth) {
		struct frame *f = &t->stack[t->depth - 1];

		errno = 0;
		const struct dirent *e = readdir(f->list);

		if (e)
			r = entry(t, f->dir, e);
		else if (errno)
			r = -errno;
		else
			pop(t);
		if (!r && !t->env->to_end && vu_stop_requested())
			r = -ECANCELED;
	}
	return r;
}

/* Each name in the top once. Returns how many there were (of which some may be gone), or errno. */
static int pass(struct rmtree *t)
{
	int fd = openat(t->top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0, r = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		n = 1;
		r = entry(t, NULL, e);
		if (!r)
			r = list_all(t);
	}
	r = r ? r : -errno;
	int e2 = vu_naming_flush(t->naming);

	return r ? r : e2 ? e2 : n;
}

static unsigned open_max(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_NOFILE, &l)
		       ? OPEN_MAX / 4
		       : (unsigned)VU_MAX(VU_MIN(l.rlim_cur / 4, OPEN_MAX), OPEN_MIN);
}

int vu_rmtree(const struct vu_rmtree_env *env, int top, struct vu_rmtree_stats *stats)
{
	struct rmtree t = {.env = env, .stats = stats, .top = top, .max_open = open_max()};
	const struct vu_naming_env naming = {
		.pool = env->pool,
		.moment = env->moment,
		.jobs = env->jobs,
		.take = true,
		.done = named,
		.arg = &t,
	};
	int r = vu_naming_new(&naming, &t.naming);
	uint64_t failed = stats->failed;

	for (unsigned i = 0; !r && i < PASSES_MAX; i++) {
		uint64_t before = t.done;

		t.again = i > 0;
		stats->failed = failed;
		r = pass(&t);
		if (r <= 0)
			break;
		r = t.again && t.done == before ? -ENOTEMPTY : 0;
	}
	while (t.depth) { /* the run ends: nothing that is in one is gone */
		closedir(t.stack[t.depth - 1].list);
		unref(&t, t.stack[--t.depth].dir);
	}
	stats->objects_removed += vu_naming_stats(t.naming).objects_removed;
	t.naming = vu_naming_free(t.naming);
	return r;
}
