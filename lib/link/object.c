/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/object.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "fs/guard.h"
#include "fs/iattr.h"
#include "fs/xattr.h"

#define CLAIM_NS UINT64_C(50000000) /* who breaks a link has an object for some milliseconds */

int vu_object_new_consume(const struct vu_pool *pool, const struct vu_key *key, int fd,
			  const struct vu_stat *st, const struct vu_attr *attr,
			  struct vu_object **ret)
{
	struct vu_object *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->pool = pool;
	o->key = *key;
	o->fd = fd;
	o->ino = st->version.ino;
	o->size = st->version.size;
	o->mtime_ns = st->version.mtime_ns;
	o->attr = *attr;
	o->refs = 1;
	pthread_mutex_init(&o->lock, NULL);
	*ret = o;
	return 0;
}

struct vu_object *vu_object_ref(struct vu_object *o)
{
	atomic_fetch_add(&o->refs, 1);
	return o;
}

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

static bool attr_equal(const struct vu_attr *a, const struct vu_attr *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->flags == b->flags &&
	       a->has_xattrs == b->has_xattrs && !memcmp(&a->xattrs, &b->xattrs, sizeof(a->xattrs));
}

/* A hash is only needed where there are xattrs: few files have any. */
static int complete(int fd, size_t max_xattr_bytes, struct vu_attr *attr)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = NULL;
	int r = vu_xattr_complete(fd, NULL, max_xattr_bytes, attr);

	if (r == VU_XATTR_NO_HASH) {
		hash = vu_hash_new();
		if (!hash)
			return -ENOMEM;
		r = vu_xattr_complete(fd, hash, max_xattr_bytes, attr);
	}
	return r > 0 ? -E2BIG : r;
}

int vu_object_claim(const struct vu_pool *pool, uint64_t ino)
{
	return vu_claim_wait(vu_pool_claims(pool), ino, CLAIM_NS);
}

void vu_object_unclaim(const struct vu_pool *pool, uint64_t ino)
{
	vu_claim_release(vu_pool_claims(pool), ino);
}

/* The claim is taken already. */
static int describe_consume(const struct vu_pool *pool, const struct vu_key *key, int fd,
			    size_t max_xattr_bytes, struct vu_object **ret, struct vu_stat *ret_st)
{
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (r)
		return r;
	struct vu_attr attr = vu_stat_attr(&st);

	r = complete(fd, max_xattr_bytes, &attr);
	if (!r)
		r = vu_object_new_consume(pool, key, fd, &st, &attr, ret);
	if (r)
		return r;
	(*ret)->claimed = true;
	if (ret_st)
		*ret_st = st;
	return 0;
}

int vu_object_of_consume(const struct vu_pool *pool, const struct vu_key *key, int fd,
			 size_t max_xattr_bytes, struct vu_object **ret, struct vu_stat *ret_st)
{
	struct vu_stat st;
	int r = vu_stat_fd(fd, &st);

	if (!r)
		r = vu_object_claim(pool, st.version.ino);
	if (r)
		return r;
	r = describe_consume(pool, key, fd, max_xattr_bytes, ret, ret_st);
	if (r)
		vu_object_unclaim(pool, st.version.ino);
	return r;
}

/*
 * Under the guard, and that alone: it had its lease when its flag was taken off (lsm/keep.c), and since then nobody has
 * got in. While it is claimed the flag does not come back.
 */
static bool is_marked(int fd, const struct vu_stat *st)
{
	return !(st->attributes & STATX_ATTR_IMMUTABLE) && vu_guard_holds(fd);
}

static int open_object(const struct vu_pool *pool, const struct vu_key *key, bool claim,
		       bool leased, size_t max_xattr_bytes, struct vu_object **ret,
		       struct vu_stat *ret_st)
{
	struct vu_stat st;
	_cleanup_fd_ int fd = vu_pool_object_open_stat(pool, key, &st);
	int r = 0;

	if (fd < 0)
		return fd;
	if (claim) {
		r = vu_object_claim(pool, st.version.ino);
		if (r)
			return r;
		r = vu_stat_fd(fd, &st); /* whoever had it has done with it now */
	}
	/* those who wait to write to it (lib/lsm) would keep the lease from being had */
	bool marked = !r && leased && is_marked(fd, &st);

	if (!r && leased && !marked)
		r = vu_guard_lease(fd);
	if (!r)
		r = describe_consume(pool, key, fd, max_xattr_bytes, ret, ret_st);
	if (r && claim)
		vu_object_unclaim(pool, st.version.ino);
	if (!r) {
		(*ret)->claimed = claim;
		(*ret)->marked = marked;
		fd = -EBADF;
	}
	return r;
}

int vu_object_open(const struct vu_pool *pool, const struct vu_key *key, bool leased,
		   size_t max_xattr_bytes, struct vu_object **ret, struct vu_stat *ret_st)
{
	return open_object(pool, key, true, leased, max_xattr_bytes, ret, ret_st);
}

int vu_object_open_in_batch(const struct vu_pool *pool, const struct vu_key *key, bool claim,
			    size_t max_xattr_bytes, struct vu_object **ret, struct vu_stat *ret_st)
{
	return open_object(pool, key, claim, true, max_xattr_bytes, ret, ret_st);
}

int vu_object_holds(const struct vu_object *o, size_t max_xattr_bytes)
{
	struct vu_stat st;
	int r = vu_stat_fd(o->fd, &st);

	if (r)
		return r;
	struct vu_attr attr = vu_stat_attr(&st);

	if (st.version.size != o->size || st.version.mtime_ns != o->mtime_ns ||
	    attr.mode != o->attr.mode || attr.uid != o->attr.uid || attr.gid != o->attr.gid)
		return 0;
	r = complete(o->fd, max_xattr_bytes, &attr);
	if (r)
		return r == -E2BIG ? 0 : r;
	return attr_equal(&attr, &o->attr);
}

static int drop_xattr(void *arg, const char *name, const void *value, size_t len)
{
	(void)value;
	(void)len;
	return fremovexattr(*(int *)arg, name) && errno != ENODATA ? -errno : 0;
}

static int restore_xattrs(const struct vu_object *o, int twin, size_t max_xattr_bytes)
{
	struct vu_attr now = {0};
	int r = complete(o->fd, max_xattr_bytes, &now);

	if (r && r != -E2BIG)
		return r;
	if (!r && now.has_xattrs == o->attr.has_xattrs &&
	    !memcmp(&now.xattrs, &o->attr.xattrs, sizeof(now.xattrs)))
		return 0;
	if (o->attr.has_xattrs && twin < 0)
		return -ENODATA;
	int fd = o->fd;

	r = vu_xattr_each(fd, SIZE_MAX, drop_xattr, &fd);
	if (!r && o->attr.has_xattrs)
		r = vu_xattr_copy(twin, o->fd, max_xattr_bytes);
	return r > 0 ? -E2BIG : r;
}

static int restore_flags(const struct vu_object *o)
{
	uint32_t now = 0;
	int r = vu_iattr_get(o->fd, &now);

	if (r || vu_iattr_key_flags(now) == o->attr.flags)
		return r == -ENOTTY || r == -EOPNOTSUPP ? 0 : r;
	int flags = (int)((now & ~vu_iattr_key_flags(now)) | o->attr.flags);

	return ioctl(o->fd, FS_IOC_SETFLAGS, &flags) ? -errno : 0;
}

int vu_object_restore(const struct vu_object *o, int twin, size_t max_xattr_bytes)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, vu_stat_timespec(o->mtime_ns)};
	struct vu_stat st;
	int r = vu_stat_fd(o->fd, &st);

	if (r)
		return r;
	if (st.version.size != o->size)
		return -EUCLEAN;
	if ((st.uid != o->attr.uid || st.gid != o->attr.gid) &&
	    fchown(o->fd, o->attr.uid, o->attr.gid))
		return -errno;
	/* also after xattrs: an ACL carries mode bits */
	r = restore_xattrs(o, twin, max_xattr_bytes);
	if (!r && fchmod(o->fd, o->attr.mode & 07777))
		r = -errno;
	if (!r)
		r = restore_flags(o);
	if (!r && st.version.mtime_ns != o->mtime_ns && futimens(o->fd, times))
		r = -errno;
	return r;
}
