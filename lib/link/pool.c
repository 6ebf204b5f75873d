/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout of a pool, all of it owned by root and not accessible to anybody else (0700 / 0600):
 *
 *   .vunify/lock              flock(2) by the linker at work
 *   .vunify/claims            who else works on which object (link/claim.c)
 *   .vunify/objects/ab/NAME   objects; NAME as model/key writes it, ab its first two digits
 *   .vunify/stage/N/TMP       names on their way, of worker N
 *   .vunify/journal, journal.N  what worker 0, N is about to do (link/journal.c)
 *   .vunify/quarantine/       marks of objects that are damaged (link/quarantine.c); made when needed
 *   .vunify/rescued/          what recovery found nowhere else to put; made when needed
 *   .vunify/trees/            guests that are being made or removed (link/trees.c); made when needed
 *   .vunify/slipped/          what is known of objects to be evicted (link/slip.c); made when needed
 *
 * One level of 256 shards: with 9,000 objects a second level would cost nearly a directory for each
 * object (8,600 mkdirs, and 35 MiB in directory blocks), while a directory of 4,000 entries (a
 * million objects) is still looked up by hash in one or two blocks on all three file systems. Shards
 * are made when the first object comes.
 *
 * The pool lies on the same mount as the guests because link(2) and rename(2) between two mounts of
 * one file system are refused (EXDEV), and at its top because there nothing of a guest is above it.
 * Whoever can write to the mount's top directory could put something in its place: what is found is
 * used only if it is a real directory, root's, closed to others, and on that very mount.
 */
#include "link/pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/beneath.h"
#include "fs/exchange.h"
#include "fs/guard.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/mount.h"
#include "fs/stat.h"
#include "link/interrupt.h"
#include "link/probe.h"
#include "link/quarantine.h"

#define POOL_DIR ".vunify"
#define SLIPPED "slipped"

struct vu_pool {
	struct vu_mount mount;
	int fd;			  /* .vunify */
	int objects;		  /* .vunify/objects */
	int stage;		  /* .vunify/stage; -EBADF when only looking and there is none */
	int lock;		  /* -EBADF when only looking, or sharing */
	struct vu_claims *claims; /* owned */
};

VU_DEFINE_CLEANUP(struct vu_pool *, vu_pool_close)

struct vu_pool *vu_pool_close(struct vu_pool *p)
{
	if (!p)
		return NULL;
	vu_close_p(&p->objects);
	vu_close_p(&p->stage);
	vu_close_p(&p->lock);
	p->claims = vu_claims_close(p->claims);
	vu_close_p(&p->fd);
	vu_mount_done(&p->mount);
	free(p);
	return NULL;
}

static int unsafe(char **ret_why, const char *what, const char *why)
{
	if (asprintf(ret_why, "%s/%s %s", POOL_DIR, what, why) < 0)
		*ret_why = NULL;
	return VU_POOL_UNSAFE;
}

/* Is the open directory root's alone, and on the pool's file system and mount? */
static int check_dir(int fd, const struct vu_mount *m, const char *what, char **ret_why)
{
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	if (st.uid || (st.mode & 0077))
		return unsafe(ret_why, what, "is not for root alone (owner root, mode 0700)");
	if (st.version.dev != m->dev || st.mount != m->id)
		return unsafe(ret_why, what, "is on another file system");
	return 0;
}

/* Opens a directory of the pool; makes it first if asked to. */
static int open_dir(int parent, const char *name, const struct vu_mount *m, bool make, int *ret_fd,
		    char **ret_why)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	if (make && mkdirat(parent, name, 0700) && errno != EEXIST)
		return -errno;
	_cleanup_fd_ int fd = openat(parent, name, flags);

	if (fd < 0)
		return errno == ENOTDIR || errno == ELOOP
			       ? unsafe(ret_why, strcmp(name, POOL_DIR) ? name : "",
					"is not a directory")
			       : -errno;
	int r = check_dir(fd, m, strcmp(name, POOL_DIR) ? name : "", ret_why);

	if (!r)
		*ret_fd = vu_take_fd(fd);
	return r;
}

static int take_lock(struct vu_pool *p)
{
	struct stat st;

	p->lock = openat(p->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (p->lock < 0)
		return -errno;
	if (flock(p->lock, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? VU_POOL_BUSY : -errno;
	if (fstat(p->lock, &st))
		return -errno;
	/* who had it meanwhile has dissolved the pool: the next one makes a lock anew, and would have that as well */
	return st.st_nlink ? 0 : VU_POOL_BUSY;
}

static int unsuitable(char **ret_why, const char *why)
{
	*ret_why = strdup(why);
	return VU_POOL_UNSUITABLE;
}

/* Opens the mount's top directory, and says whether a pool there would serve root_fd. */
static int open_top(const struct vu_mount *m, const struct vu_stat *root, bool is_guest,
		    int *ret_top, char **ret_why)
{
	_cleanup_fd_ int top = open(m->point, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct vu_stat st;

	if (top < 0)
		return -errno;
	int r = vu_stat_fd(top, &st);

	if (r)
		return r;
	if (st.mount != m->id)
		return unsuitable(ret_why, "another file system is mounted over it");
	if (st.version.dev != root->version.dev)
		return unsuitable(ret_why,
				  "the guest lies in a subvolume of its own, and hard links "
				  "cannot lead from one subvolume to another");
	if (is_guest && st.version.ino == root->version.ino)
		return VU_POOL_INSIDE_GUEST;
	*ret_top = vu_take_fd(top);
	return 0;
}

static int open_parts(struct vu_pool *p, int top, unsigned flags, char **ret_why)
{
	bool make = flags & VU_POOL_CREATE, share = flags & VU_POOL_SHARE;
	int r = open_dir(top, POOL_DIR, &p->mount, make, &p->fd, ret_why);

	if (r == -ENOENT)
		return VU_POOL_MISSING;
	if (!r && make)
		r = take_lock(p);
	if (r)
		return r;
	r = make || share ? vu_claims_open(p->fd, share, &p->claims)
			  : vu_claims_open_look(p->fd, &p->claims);
	if (r == VU_CLAIMS_GONE)
		return VU_POOL_MISSING;
	if (!r)
		r = open_dir(p->fd, "objects", &p->mount, make, &p->objects, ret_why);
	if (!r)
		r = open_dir(p->fd, "stage", &p->mount, make, &p->stage, ret_why);
	return r == -ENOENT && !make ? VU_POOL_MISSING : r;
}

static int check_mount(const struct vu_mount *m, bool make, char **ret_why)
{
	char *why = NULL;

	if (vu_mount_can_link(m) && !(make && m->read_only))
		return vu_probe_capable(ret_why) ? VU_POOL_UNSUITABLE : 0;
	if (asprintf(&why,
		     m->read_only && make
			     ? "it is mounted read-only (%s)"
			     : "%s is not known to hold immutable files, leases and exchanges",
		     m->type) < 0)
		why = NULL;
	*ret_why = why;
	return VU_POOL_UNSUITABLE;
}

/* Was something put into it already? Then the file system has shown that it can do it. */
static bool has_shards(const struct vu_pool *p)
{
	struct vu_stat st;

	/* btrfs counts no links of directories: there it is probed each time */
	return !vu_stat_fd(p->objects, &st) && st.n_links > 2;
}

static int open_pool(int root_fd, bool is_guest, unsigned flags, struct vu_pool **ret,
		     char **ret_why)
{
	vu_cleanup(vu_pool_close_p) struct vu_pool *p = calloc(1, sizeof(*p));
	_cleanup_fd_ int top = -EBADF;
	bool make = flags & VU_POOL_CREATE;
	struct vu_stat root;

	*ret_why = NULL;
	if (!p)
		return -ENOMEM;
	p->fd = p->objects = p->stage = p->lock = -EBADF;
	int r = vu_mount_of(root_fd, &p->mount);

	if (!r)
		r = vu_stat_fd(root_fd, &root);
	if (!r)
		r = check_mount(&p->mount, make, ret_why);
	if (!r)
		r = open_top(&p->mount, &root, is_guest, &top, ret_why);
	if (!r)
		r = open_parts(p, top, flags, ret_why);
	if (!r && make && !has_shards(p)) {
		r = vu_probe_stage(p->stage, ret_why);
		if (r > 0)
			r = *ret_why ? VU_POOL_UNSUITABLE : -ENOMEM;
	}
	if (!r)
		*ret = vu_take_ptr(p);
	return r;
}

int vu_pool_open(int root_fd, unsigned flags, struct vu_pool **ret, char **ret_why)
{
	return open_pool(root_fd, true, flags, ret, ret_why);
}

int vu_pool_open_path(const char *mount_point, unsigned flags, struct vu_pool **ret, char **ret_why)
{
	_cleanup_fd_ int fd = open(mount_point, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*ret_why = NULL;
	return fd < 0 ? -errno : open_pool(fd, false, flags, ret, ret_why);
}

/* ---- objects ---- */

/* "ab/NAME" */
#define OBJECT_PATH_MAX (3 + VU_KEY_NAME_MAX)

static void object_path(const struct vu_key *key, char *path)
{
	vu_key_name(key, path + 3);
	path[0] = path[3];
	path[1] = path[4];
	path[2] = '/';
}

static int list_shard(int objects, const char *shard,
		      int (*fn)(void *arg, uint64_t ino, const struct vu_key *), void *arg)
{
	int fd = openat(objects, shard, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	errno = 0;
	while (!r && (e = readdir(d))) {
		struct vu_key key;

		if (!vu_key_parse(e->d_name, &key) && !strncmp(e->d_name, shard, 2))
			r = fn(arg, e->d_ino, &key);
		errno = 0;
	}
	return r ? r : -errno;
}

static bool is_shard(const char *name)
{
	return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2;
}

int vu_pool_list(const struct vu_pool *p, int (*fn)(void *arg, uint64_t ino, const struct vu_key *),
		 void *arg)
{
	int fd = openat(p->objects, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	int r = 0;

	if (!d)
		return fd < 0 ? -errno : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(d)))
		if (is_shard(e->d_name))
			r = list_shard(p->objects, e->d_name, fn, arg);
	return r ? r : -errno;
}

int vu_pool_object_open(const struct vu_pool *p, const struct vu_key *key)
{
	struct vu_stat st;

	return vu_pool_object_open_stat(p, key, &st);
}

int vu_pool_object_open_stat(const struct vu_pool *p, const struct vu_key *key,
			     struct vu_stat *ret_st)
{
	char path[OBJECT_PATH_MAX];

	object_path(key, path);
	/* at once, unlike a guest's file: nobody but the host's root has put it there */
	_cleanup_fd_ int fd = openat(p->objects, path,
				     O_RDONLY | O_NOATIME | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	/* a symlink, a socket */
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -ESTALE : -errno;
	int r = vu_stat_fd(fd, ret_st);

	if (r)
		return r;
	return S_ISREG(ret_st->mode) ? vu_take_fd(fd) : -ESTALE;
}

int vu_pool_object_link(const struct vu_pool *p, const struct vu_key *key, int fd)
{
	char path[OBJECT_PATH_MAX], shard[3];
	int r;

	object_path(key, path);
	r = vu_link_fd(fd, p->objects, path);
	if (r != -ENOENT)
		return r;
	memcpy(shard, path, 2);
	shard[2] = 0;
	if (mkdirat(p->objects, shard, 0700) && errno != EEXIST)
		return -errno;
	return vu_link_fd(fd, p->objects, path);
}

int vu_pool_object_unlink(const struct vu_pool *p, const struct vu_key *key)
{
	char path[OBJECT_PATH_MAX];

	object_path(key, path);
	return unlinkat(p->objects, path, 0) ? -errno : 0;
}

bool vu_pool_object_slipped(const struct vu_pool *p, const struct vu_key *key)
{
	char path[sizeof(SLIPPED) + VU_KEY_NAME_MAX] = SLIPPED "/";

	vu_key_name(key, path + strlen(SLIPPED) + 1);
	return !faccessat(p->fd, path, F_OK, AT_SYMLINK_NOFOLLOW);
}

static int remove_open(const struct vu_pool *p, const struct vu_key *key, int fd)
{
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	if (st.n_links != 1 || vu_pool_object_slipped(p, key))
		return -EBUSY;
	r = vu_lease_take(fd);
	if (r)
		return r > 0 ? -EBUSY : r;
	r = vu_iattr_set_immutable(fd, false);
	if (r)
		return r;
	/* nobody can have made a name meanwhile: without a name in a guest it cannot be reached */
	r = vu_stat_fd(fd, &st);
	if (!r && st.n_links != 1)
		r = -EBUSY;
	if (!r) {
		vu_guard_retire(fd);
		r = vu_pool_object_unlink(p, key);
	}
	/*
	 * Also without a name: several guests may have it open or mapped still, as libraries are that were just
	 * upgraded, and one of them could open it for writing by a descriptor (/proc/self/fd).
	 */
	(void)vu_guard_or_flag(fd);
	for (int i = 0; i < 10 && !vu_lease_quiet(fd); i++)
		if (vu_interrupt_waiters(p->mount.super_dev, st.version.ino, NULL) <= 0)
			break;
	return r;
}

int vu_pool_object_remove(const struct vu_pool *p, const struct vu_key *key)
{
	_cleanup_fd_ int fd = vu_pool_object_open(p, key);
	struct vu_stat st;

	if (fd < 0)
		return fd;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	r = vu_claim(p->claims, st.version.ino);
	if (r)
		return r > 0 ? -EBUSY : r;
	r = remove_open(p, key, fd);
	vu_claim_release(p->claims, st.version.ino);
	return r;
}

int vu_pool_object_remove_claimed(const struct vu_pool *p, const struct vu_key *key)
{
	_cleanup_fd_ int fd = vu_pool_object_open(p, key);

	return fd < 0 ? fd : remove_open(p, key, fd);
}

int vu_pool_generation_next(const struct vu_pool *p, struct vu_key *key)
{
	char path[OBJECT_PATH_MAX];

	for (; key->generation < UINT32_C(100000000); key->generation++) {
		object_path(key, path);
		if (faccessat(p->objects, path, F_OK, AT_SYMLINK_NOFOLLOW))
			return errno == ENOENT ? 0 : -errno;
	}
	return -EOVERFLOW;
}

/* ---- stage and journals ---- */

int vu_pool_stage_open(const struct vu_pool *p, unsigned n)
{
	char name[16];
	char *why = NULL;
	int fd = -EBADF;

	snprintf(name, sizeof(name), "%u", n);
	int r = open_dir(p->stage, name, &p->mount, true, &fd, &why);

	free(why);
	return r > 0 ? -EPERM : r ? r : fd;
}

void vu_pool_stage_remove(const struct vu_pool *p, unsigned n)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", n);
	unlinkat(p->stage, name, AT_REMOVEDIR);
}

int vu_pool_part_open(const struct vu_pool *p, const char *name, bool make)
{
	char *why = NULL;
	int fd = -EBADF, r = open_dir(p->fd, name, &p->mount, make, &fd, &why);

	free(why);
	return r > 0 ? -EPERM : r ? r : fd;
}

/* Nothing that was rescued before is replaced: then the name gets a number. */
static int rescue(const struct vu_pool *p, int from, const char *path, const char *name,
		  char **ret_path)
{
	_cleanup_fd_ int dir = vu_pool_part_open(p, "rescued", true);
	int r = -EEXIST;

	if (dir < 0)
		return dir;
	for (unsigned i = 0; r == -EEXIST; i++) {
		_cleanup_free_ char *to = NULL;

		if ((i ? asprintf(&to, "%s/rescued/%s.%u", POOL_DIR, name, i)
		       : asprintf(&to, "%s/rescued/%s", POOL_DIR, name)) < 0)
			return (to = NULL, -ENOMEM);
		r = renameat2(from, path, dir, strrchr(to, '/') + 1, RENAME_NOREPLACE) ? -errno : 0;
		if (!r)
			*ret_path = vu_take_ptr(to);
	}
	return r;
}

int vu_pool_rescue(const struct vu_pool *p, int stage_fd, const char *name, char **ret_path)
{
	return rescue(p, stage_fd, name, name, ret_path);
}

int vu_pool_object_rescue(const struct vu_pool *p, const struct vu_key *key, char **ret_path)
{
	char path[OBJECT_PATH_MAX];

	object_path(key, path);
	return rescue(p, p->objects, path, path + 3, ret_path);
}

uint64_t vu_pool_dev(const struct vu_pool *p)
{
	return p->mount.dev;
}

uint64_t vu_pool_super_dev(const struct vu_pool *p)
{
	return p->mount.super_dev;
}

const char *vu_pool_mount_point(const struct vu_pool *p)
{
	return p->mount.point;
}

bool vu_pool_slip_writes(const struct vu_pool *p)
{
	return strcmp(p->mount.type, "ext4") != 0;
}

int vu_pool_sync(const struct vu_pool *p)
{
	return syncfs(p->fd) ? -errno : 0;
}

struct vu_claims *vu_pool_claims(const struct vu_pool *p)
{
	return p->claims;
}

int vu_pool_fd(const struct vu_pool *p)
{
	return p->fd;
}

int vu_pool_stage_fd(const struct vu_pool *p)
{
	return p->stage;
}

/* Removes what it can: a directory that is not empty stays, and so does all above it. */
int vu_pool_dissolve(const struct vu_pool *p)
{
	char shard[3];

	if (vu_claims_keep_out(p->claims))
		return 0;
	for (unsigned i = 0; i < 256; i++) {
		snprintf(shard, sizeof(shard), "%02x", i);
		unlinkat(p->objects, shard, AT_REMOVEDIR);
	}
	if (unlinkat(p->fd, "objects", AT_REMOVEDIR))
		return errno == ENOTEMPTY || errno == EEXIST ? 0 : -errno;
	/* there is no journal yet where nothing was ever linked */
	if (unlinkat(p->fd, "stage", AT_REMOVEDIR) ||
	    (unlinkat(p->fd, "journal", 0) && errno != ENOENT))
		return errno == ENOTEMPTY || errno == EEXIST || errno == ENOENT ? 0 : -errno;
	unlinkat(p->fd, "lock", 0);
	unlinkat(p->fd, "claims", 0);
	unlinkat(p->fd, SLIPPED, AT_REMOVEDIR);
	unlinkat(p->fd, "trees", AT_REMOVEDIR);
	vu_quarantine_sweep(p);
	_cleanup_fd_ int top = openat(p->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (top < 0 || unlinkat(top, POOL_DIR, AT_REMOVEDIR))
		return errno == ENOTEMPTY || errno == EEXIST ? 0 : -errno;
	return 1;
}
