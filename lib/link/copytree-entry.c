/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One name of a guest. It is pinned (O_PATH), looked at, and only then opened, if it is a regular file. A
 * file is copied until its version is the same before and after: if it never is, the last copy stays, and
 * that is told.
 *
 * What has several names in the guest gets a further one in the directory `links` of the place when it is
 * copied, by its inode number and generation, and its next names are links to that: so the file system
 * remembers it, and no memory. Flags that forbid links are set when all names are there; the name in
 * `links` says which.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/copy.h"
#include "fs/reopen.h"
#include "fs/xattr.h"
#include "link/copytree-int.h"

#define TRIES 3		 /* of copying what changes meanwhile */
#define LINK_NAME_MAX 48 /* INODE-GENERATION-LOCKS in hexadecimal */
#define LOCKS (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)

/* Several threads copy names. */
static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

bool vu_copy_is_inside(const struct vu_copying *c, const struct vu_stat *st)
{
	return st->version.dev == c->dev && st->mount == c->mount;
}

char *vu_copy_path(const struct vu_copying *c, uint32_t dir, const char *name)
{
	_cleanup_free_ char *parent = vu_tree_dir_path(c->tree, dir);
	char *path = NULL;

	if (!parent || !name)
		return vu_take_ptr(parent);
	if (asprintf(&path, "%s%s%s", parent, *parent ? "/" : "", name) < 0)
		return NULL;
	return path;
}

void vu_copy_tell(struct vu_copying *c, enum vu_event_kind kind, enum vu_skip skip, uint32_t dir,
		  const char *name, const char *text)
{
	_cleanup_free_ char *path = vu_copy_path(c, dir, name);

	vu_moment_emit(c->env->moment, &(struct vu_event){
					       .kind = kind,
					       .skip = skip,
					       .guest = c->env->guest,
					       .path = path,
					       .text = text,
				       });
}

int vu_copy_locks(const struct vu_stat *st, int to)
{
	int flags = 0;

	if (!(st->attributes & LOCKS))
		return 0;
	if (ioctl(to, FS_IOC_GETFLAGS, &flags))
		return -errno;
	flags |= st->attributes & STATX_ATTR_IMMUTABLE ? FS_IMMUTABLE_FL : 0;
	flags |= st->attributes & STATX_ATTR_APPEND ? FS_APPEND_FL : 0;
	return ioctl(to, FS_IOC_SETFLAGS, &flags) ? -errno : 0;
}

/* ---- several names ---- */

/* fd: open, or pinned where it is no regular file; those have no generation that could be asked for. */
static void link_name(const struct vu_stat *st, int fd, char name[LINK_NAME_MAX])
{
	uint64_t generation = st->version.ctime_ns;
	long asked = 0; /* the kernel writes an int, whatever the request's type says */

	if (S_ISREG(st->mode) && !ioctl(fd, FS_IOC_GETVERSION, &asked))
		generation = (uint32_t)asked;
	snprintf(name, LINK_NAME_MAX, "%" PRIx64 "-%" PRIx64 "-%" PRIx64, st->version.ino,
		 generation, st->attributes & LOCKS);
}

/* Is it there already, by another name? 1: it has this one too now; 0: no; or a negative errno. */
static int link_known(struct vu_copying *c, const struct vu_copydir *d, const char *name,
		      const char *known)
{
	if (!linkat(c->links, known, d->to, name, 0)) {
		count(&c->stats->others, 1);
		return 1;
	}
	return errno == ENOENT || errno == EMLINK ? 0 : -errno;
}

/* Its next names are to find it. At the limit of links they are copies. */
static int remember(struct vu_copying *c, const struct vu_copydir *d, const char *name,
		    const char *known)
{
	if (!linkat(d->to, name, c->links, known, 0))
		return 0;
	return errno == EEXIST || errno == EMLINK ? 0 : -errno;
}

static int end_link(struct vu_copying *c, const char *known)
{
	struct vu_stat st = {.attributes = strtoull(strrchr(known, '-') + 1, NULL, 16)};
	_cleanup_fd_ int fd = -EBADF;

	if (st.attributes & LOCKS) {
		fd = openat(c->links, known, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	if (unlinkat(c->links, known, 0))
		return -errno;
	return fd >= 0 ? vu_copy_locks(&st, fd) : 0;
}

int vu_copy_links_end(struct vu_copying *c)
{
	int fd = fcntl(c->links, F_DUPFD_CLOEXEC, 3), r = 0;
	_cleanup_closedir_ DIR *l = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!l)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(l)))
		if (e->d_name[0] != '.')
			r = end_link(c, e->d_name);
	return r ? r : -errno;
}

/* ---- regular files ---- */

/* Once. 0; 1: it changed meanwhile; or a negative errno. *st: what it is now. */
static int copy_once(struct vu_copying *c, int from, int to, struct vu_stat *st, bool empty)
{
	struct vu_stat before = *st;
	bool shared = true;
	int r = 0;

	if (!empty)
		r = vu_copy_content(from, to, st->version.size, &shared);
	if (!shared)
		atomic_fetch_add(&c->unsynced, st->version.size);
	if (r && r != -ESTALE)
		return r;
	if (!r)
		r = vu_copy_metadata(from, st, to, VU_XATTR_ANY);
	if (r && r != -ESTALE)
		return r > 0 ? -E2BIG : r;
	int e = vu_stat_fd(from, st);

	return e ? e : r || memcmp(&before.version, &st->version, sizeof(before.version));
}

static int copy_content(struct vu_copying *c, const struct vu_copydir *d, const char *name,
			int from, struct vu_stat *st, bool empty)
{
	_cleanup_fd_ int to = openat(d->to, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool several = st->n_links > 1 && !empty;
	uint64_t locks = st->attributes;
	int r = to < 0 ? -errno : 1;

	for (int i = 0; r > 0 && i < TRIES; i++) {
		if (i && ftruncate(to, 0))
			return -errno;
		r = copy_once(c, from, to, st, empty);
	}
	if (r > 0) {
		count(&c->stats->changed, 1);
		vu_copy_tell(
			c, VU_EVENT_WARN, VU_SKIP_NONE, d->dir, name,
			"it changed each time it was copied: the copy may be of no one instant");
		/* one that had another size each time has nothing of this yet */
		r = vu_copy_metadata(from, st, to, VU_XATTR_ANY);
		r = r > 0 ? -E2BIG : r;
	}
	st->attributes = locks;
	return r || several ? r : vu_copy_locks(st, to);
}

static void count_file(struct vu_copying *c, const struct vu_stat *st, enum vu_reset how)
{
	if (how != VU_RESET_NOT) {
		count(&c->stats->reset, 1);
		return;
	}
	count(&c->stats->copied, 1);
	count(&c->stats->copied_bytes, st->version.size);
}

/* A guest may hold a write lease on it: that is being broken by then, which takes its time. */
static int open_pinned(int pin)
{
	int fd = -EAGAIN;

	for (int i = 0; fd == -EAGAIN && i < TRIES; i++) {
		if (i)
			nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		fd = vu_reopen(pin, O_RDONLY | O_NOATIME | O_NONBLOCK);
	}
	return fd;
}

static int copy_regular(struct vu_copying *c, const struct vu_copydir *d, const char *name, int pin,
			struct vu_stat *st, enum vu_reset how)
{
	bool several = st->n_links > 1 && how == VU_RESET_NOT;
	_cleanup_fd_ int from = -EBADF;
	char known[LINK_NAME_MAX];
	int r = 0;

	if (!c->env->dry_run && how != VU_RESET_REMOVE) {
		from = open_pinned(pin);
		if (from == -EAGAIN) {
			count(&c->stats->changed, 1);
			vu_copy_tell(c, VU_EVENT_WARN, VU_SKIP_NONE, d->dir, name,
				     "left out: a process of the guest has a lease on it");
			return 0;
		}
		if (from < 0)
			return from;
		if (several) {
			link_name(st, from, known);
			r = link_known(c, d, name, known);
		}
		if (r)
			return r > 0 ? 0 : r;
		r = copy_content(c, d, name, from, st, how == VU_RESET_TRUNCATE);
		if (!r && several)
			r = remember(c, d, name, known);
	}
	if (!r)
		count_file(c, st, how);
	return r;
}

/* ---- what is neither file nor directory ---- */

/*
 * The xattrs of what cannot be opened: by the links of /proc to the pinned inodes, which lead to these
 * themselves. There are hardly ever any (labels).
 */
static int copy_pinned_xattrs(int from, int to)
{
	char a[32], b[32], list[4096], value[65536];

	snprintf(a, sizeof(a), "/proc/self/fd/%d", from);
	snprintf(b, sizeof(b), "/proc/self/fd/%d", to);
	ssize_t n = listxattr(a, list, sizeof(list));

	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (const char *name = list; name < list + n; name += strlen(name) + 1) {
		ssize_t len = getxattr(a, name, value, sizeof(value));

		if (len < 0 && errno == ENODATA)
			continue;
		if (len < 0 || setxattr(b, name, value, (size_t)len, 0))
			return -errno;
	}
	return 0;
}

static int make_symlink(const struct vu_copydir *d, const char *name, int pin)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(pin, "", target, sizeof(target));

	if (n < 0 || (size_t)n >= sizeof(target))
		return n < 0 ? -errno : -ENAMETOOLONG;
	target[n] = 0;
	return symlinkat(target, d->to, name) ? -errno : 0;
}

static int make_special(const struct vu_copydir *d, const char *name, int pin)
{
	struct stat st;

	if (fstat(pin, &st))
		return -errno;
	return mknodat(d->to, name, st.st_mode, st.st_rdev) ? -errno : 0;
}

static int dress_special(const struct vu_copydir *d, const char *name, int pin,
			 const struct vu_stat *st)
{
	struct timespec times[2] = {vu_stat_timespec(st->atime_ns),
				    vu_stat_timespec(st->version.mtime_ns)};
	_cleanup_fd_ int to = openat(d->to, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (to < 0 || fchownat(d->to, name, st->uid, st->gid, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISLNK(st->mode) && fchmodat(d->to, name, st->mode & 07777, 0))
		return -errno;
	int r = copy_pinned_xattrs(pin, to);

	if (!r && utimensat(d->to, name, times, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	return r;
}

static int copy_special(struct vu_copying *c, const struct vu_copydir *d, const char *name, int pin,
			const struct vu_stat *st)
{
	char known[LINK_NAME_MAX];
	int r = 0;

	if (!c->env->dry_run) {
		if (st->n_links > 1) {
			link_name(st, pin, known);
			r = link_known(c, d, name, known);
		}
		if (r)
			return r > 0 ? 0 : r;
		r = S_ISLNK(st->mode) ? make_symlink(d, name, pin) : make_special(d, name, pin);
		if (!r)
			r = dress_special(d, name, pin, st);
		if (!r && st->n_links > 1)
			r = remember(c, d, name, known);
	}
	count(&c->stats->others, !r);
	return r;
}

/* ---- directories, and all of them ---- */

static int depth_of(const struct vu_copying *c, uint32_t dir)
{
	uint32_t n = 0;

	for (; dir != VU_NONE && n <= c->env->max_depth; n++)
		dir = vu_tree_dir(c->tree, dir)->parent;
	return n > c->env->max_depth ? VU_COPYTREE_TOO_DEEP : 0;
}

static int add_dir(struct vu_copying *c, const struct vu_copydir *d, const char *name,
		   const struct vu_stat *st)
{
	uint32_t dir;
	int r = depth_of(c, d->dir);

	if (!r && !c->env->dry_run && mkdirat(d->to, name, 0700))
		r = -errno;
	if (!r)
		r = vu_tree_dir_add(c->tree, d->dir, 0, name, &dir);
	if (!r)
		vu_tree_dir(c->tree, dir)->ino = st->version.ino;
	return r;
}

/* A mount is not entered: what it lies on is an empty directory in the copy. */
static int leave_out(struct vu_copying *c, const struct vu_copydir *d, const char *name,
		     const struct vu_stat *st)
{
	count(&c->stats->mounts, 1);
	vu_copy_tell(c, VU_EVENT_SKIP, VU_SKIP_OTHER_FS, d->dir, name, NULL);
	if (!S_ISDIR(st->mode) || c->env->dry_run)
		return 0;
	if (mkdirat(d->to, name, 0700) || fchownat(d->to, name, st->uid, st->gid, 0) ||
	    fchmodat(d->to, name, st->mode & 07777, 0))
		return -errno;
	return 0;
}

static int copy_pinned(struct vu_copying *c, struct vu_copydir *d, const char *name, int pin,
		       struct vu_stat *st, enum vu_reset how)
{
	if (!vu_copy_is_inside(c, st))
		return leave_out(c, d, name, st);
	if (S_ISDIR(st->mode))
		return add_dir(c, d, name, st);
	if (S_ISREG(st->mode))
		return copy_regular(c, d, name, pin, st, how);
	return copy_special(c, d, name, pin, st);
}

/* One thread at a time is to look whether there is a copy of it, and to make that; and to change the tree. */
static int copy_alone(struct vu_copying *c, struct vu_copydir *d, const char *name, int pin,
		      struct vu_stat *st, enum vu_reset how)
{
	pthread_mutex_lock(&c->lock);
	int r = copy_pinned(c, d, name, pin, st, how);

	pthread_mutex_unlock(&c->lock);
	return r;
}

int vu_copy_entry(struct vu_copying *c, struct vu_copydir *d, const char *name, enum vu_reset how)
{
	_cleanup_fd_ int pin = openat(d->from, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct vu_stat st;

	if (pin < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = vu_stat_fd(pin, &st);

	if (r)
		return r;
	/* that flag is ours: a copy is a file like any other */
	if (c->env->objects && vu_pool_listing_find(c->env->objects, st.version.ino))
		st.attributes &= ~(uint64_t)LOCKS;
	return (st.n_links > 1 || S_ISDIR(st.mode) ? copy_alone : copy_pinned)(c, d, name, pin, &st,
									       how);
}
