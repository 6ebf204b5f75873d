/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes are taken from user.* (of regular files and directories, as the kernel has it), the two of
 * ACLs, and security.capability where set-id is allowed. All else is left out and counted: trusted.* and
 * other security.* mean something to this host.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "archive/acl.h"
#include "archive/unpack-int.h"
#include "base/cleanup.h"

#define CAPABILITY "security.capability"
#define XATTRS_MAX 1024

struct attribute {
	const char *name;
	const void *value;
	size_t len;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct attribute *)a)->name, ((const struct attribute *)b)->name);
}

enum taken {
	LEFT_OUT,
	TAKEN,
	FORBIDDEN
};

static enum taken is_taken(const struct vu_unpack *u, uint32_t mode, const char *name)
{
	bool plain = S_ISREG(mode) || S_ISDIR(mode);

	if (!strncmp(name, "user.", 5) && name[5])
		return plain ? TAKEN : LEFT_OUT;
	if (!strcmp(name, VU_ACL_ACCESS))
		return S_ISLNK(mode) ? LEFT_OUT : TAKEN;
	if (!strcmp(name, VU_ACL_DEFAULT))
		return S_ISDIR(mode) ? TAKEN : LEFT_OUT;
	if (!strcmp(name, CAPABILITY) && S_ISREG(mode))
		return u->env->flags & VU_UNPACK_SETID ? TAKEN : FORBIDDEN;
	return LEFT_OUT;
}

/* Those that are taken, sorted; of two with one name the last. */
static int select_xattrs(struct vu_unpack *u, const struct vu_member *m, struct attribute *v,
			 size_t *ret_n)
{
	size_t at = 0, n = 0, len;
	const char *name;
	const void *value;

	while (vu_member_xattr(m, &at, &name, &value, &len)) {
		enum taken t = is_taken(u, m->mode, name);
		size_t i = 0;

		if (t == FORBIDDEN)
			return vu_unpack_refuse(u, "it has file capabilities: --setid allows them");
		u->stats.xattrs_left_out += t == LEFT_OUT;
		if (t == LEFT_OUT)
			continue;
		while (i < n && strcmp(v[i].name, name) != 0)
			i++;
		if (i == XATTRS_MAX)
			return vu_unpack_refuse(u, "it has too many attributes");
		v[i] = (struct attribute){name, value, len};
		n = VU_MAX(n, i + 1);
	}
	qsort(v, n, sizeof(*v), by_name);
	*ret_n = n;
	return 0;
}

int vu_unpack_take_xattrs(struct vu_unpack *u, const struct vu_member *m, struct vu_attr *attr)
{
	_cleanup_free_ struct attribute *v = NULL;
	size_t n = 0;
	int r;

	u->xattrs.len = 0;
	attr->full = true;
	if (!m->xattrs_bytes)
		return 0;
	v = calloc(XATTRS_MAX, sizeof(*v));
	if (!v)
		return -ENOMEM;
	r = select_xattrs(u, m, v, &n);
	if (!r && n)
		vu_hash_begin(u->attr_hash);
	for (size_t i = 0; !r && i < n; i++) {
		uint64_t len = v[i].len;

		if (!strcmp(v[i].name, VU_ACL_ACCESS))
			attr->mode = vu_acl_mode(attr->mode, v[i].value, v[i].len);
		attr->has_caps = attr->has_caps || !strcmp(v[i].name, CAPABILITY);
		vu_hash_add(u->attr_hash, v[i].name, strlen(v[i].name) + 1);
		vu_hash_add(u->attr_hash, &len, sizeof(len));
		vu_hash_add(u->attr_hash, v[i].value, v[i].len);
		r = vu_xattr_list_add(&u->xattrs, v[i].name, v[i].value, v[i].len,
				      u->env->max_xattr_bytes);
	}
	if (r == -E2BIG)
		return vu_unpack_refuse(u, "its attributes are above max_xattr_bytes");
	attr->has_xattrs = n;
	return r || !n ? r : vu_hash_end(u->attr_hash, attr->xattrs.b);
}

/* No space for an attribute means most often that the inode has none, not the disk. */
static int xattr_failed(struct vu_unpack *u, const char *name, int err)
{
	struct statvfs fs;

	if (err == ENOSPC && !fstatvfs(u->env->root, &fs) && !fs.f_bavail)
		return -ENOSPC;
	if (err == EDQUOT || err == EIO || err == ENOMEM)
		return -err;
	return vu_unpack_refuse(u, "its attribute %.100s cannot be kept on this file system: %s",
				name, strerror(err));
}

int vu_unpack_set_xattrs(struct vu_unpack *u, const char *list, size_t bytes, int fd,
			 const char *path)
{
	const struct vu_member m = {.xattrs = list, .xattrs_bytes = bytes};
	size_t at = 0, len;
	const char *name;
	const void *value;

	while (vu_member_xattr(&m, &at, &name, &value, &len))
		if (path ? lsetxattr(path, name, value, len, 0)
			 : fsetxattr(fd, name, value, len, 0))
			return xattr_failed(u, name, errno);
	return 0;
}

struct timespec vu_unpack_mtime(const struct vu_member *m)
{
	return (struct timespec){.tv_sec = m->mtime_sec, .tv_nsec = m->mtime_nsec};
}

int vu_unpack_metadata(struct vu_unpack *u, int fd, uint32_t mode, uint32_t uid, uint32_t gid,
		       const struct timespec *mtime)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, *mtime};

	/* the owner first: changing it clears set-id bits and file capabilities */
	if (fchown(fd, uid, gid) || fchmod(fd, mode & 07777))
		return -errno;
	int r = vu_unpack_set_xattrs(u, u->xattrs.data, u->xattrs.len, fd, NULL);

	return r ? r : futimens(fd, times) ? -errno : 0;
}
