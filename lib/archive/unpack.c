/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member at a time: its name is checked, its directory looked up or made, what has its place goes away
 * (the later member counts, as with tar), and it is made there. Directories get owner, mode, attributes and
 * times last: while members are made all are root's alone, so no default ACL or set-group-ID bit passes on to
 * what is made in them, and none is closed.
 */
#include "archive/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/unpack-int.h"
#include "base/cleanup.h"

#define KEPT_MAX ((size_t)64 << 20) /* of attributes of directories, in memory to the end */

int vu_unpack_refuse(struct vu_unpack *u, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(u->why, sizeof(u->why), format, ap);
	va_end(ap);
	return VU_UNPACK_REFUSED;
}

int vu_unpack_next(struct vu_unpack *u, struct vu_stream_item *ret)
{
	int r = vu_stream_next(&u->in, ret);

	if (r == -EPROTO || r == -EPIPE) {
		vu_unpack_refuse(u, "the process that reads it has failed");
		return VU_UNPACK_BROKEN;
	}
	if (!r && ret->kind == VU_STREAM_FAILED) {
		vu_unpack_refuse(u, "%s", ret->text);
		return ret->refused ? VU_UNPACK_REFUSED : VU_UNPACK_BROKEN;
	}
	return r;
}

int vu_unpack_skip_data(struct vu_unpack *u)
{
	struct vu_stream_item it;
	int r;

	while (!(r = vu_unpack_next(u, &it)) && it.kind == VU_STREAM_DATA)
		;
	return r ? r : it.kind == VU_STREAM_END ? 0 : -EPROTO;
}

/* ---- directories ---- */

/* The record of a directory, emptied if it has one already. */
static int record_of(struct vu_unpack *u, uint64_t ino, struct vu_unpack_dir **ret)
{
	uint32_t i;
	int r = 0;

	if (!vu_inomap_get(&u->dirs, ino, &i) || i == VU_UNPACK_NONE) {
		r = vu_chunks_add(&u->dir_records, 1, &i);
		if (!r)
			r = vu_inomap_set(&u->dirs, ino, i);
		if (r)
			return r;
	}
	*ret = vu_chunks_at(&u->dir_records, i);
	u->kept_bytes -= (*ret)->xattrs_bytes;
	free((*ret)->xattrs);
	**ret = (struct vu_unpack_dir){0};
	return 0;
}

/* Remembers what it is to be. */
static int note_dir(struct vu_unpack *u, const struct vu_member *m, const struct vu_attr *attr,
		    uint64_t ino)
{
	struct vu_unpack_dir *d;
	int r = record_of(u, ino, &d);

	if (r)
		return r;
	d->mode = attr->mode;
	d->uid = m->uid;
	d->gid = m->gid;
	d->mtime = vu_unpack_mtime(m);
	if (!u->xattrs.len)
		return 0;
	if (u->xattrs.len > KEPT_MAX - u->kept_bytes)
		return vu_unpack_refuse(u, "the attributes of all directories are above 64 MiB");
	d->xattrs = malloc(u->xattrs.len);
	if (!d->xattrs)
		return -ENOMEM;
	memcpy(d->xattrs, u->xattrs.data, u->xattrs.len);
	d->xattrs_bytes = u->xattrs.len;
	u->kept_bytes += d->xattrs_bytes;
	return 0;
}

static int make_dir(struct vu_unpack *u, const struct vu_member *m, const struct vu_attr *attr,
		    const char *base)
{
	struct vu_stat st;
	int r = 0;

	if (!*base) /* the root itself */
		return note_dir(u, m, attr, u->root_ino);
	vu_unpack_drop_standin(u, base);
	if (!mkdirat(u->parent, base, 0700)) {
		u->stats.dirs++;
	} else if (errno != EEXIST) {
		return -errno;
	} else if (!(r = vu_stat_at(u->parent, base, &st)) && !S_ISDIR(st.mode)) {
		r = vu_unpack_clear(u, base);
		if (!r && mkdirat(u->parent, base, 0700))
			r = -errno;
		u->stats.dirs += !r;
	}
	if (!r)
		r = vu_stat_at(u->parent, base, &st);
	if (!r)
		r = note_dir(u, m, attr, st.version.ino);
	return r ? r : vu_unpack_touch(u, st.version.ino);
}

int vu_unpack_settle_dir(struct vu_unpack *u, int dir)
{
	const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
	struct vu_stat st;
	uint32_t i;
	int r = vu_stat_fd(dir, &st);

	if (r)
		return r;
	if (!vu_inomap_get(&u->dirs, st.version.ino, &i) || i == VU_UNPACK_NONE)
		return fchmod(dir, 0755) || futimens(dir, now) ? -errno : 0;
	const struct vu_unpack_dir *d = vu_chunks_at(&u->dir_records, i);
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, d->mtime};

	if (fchown(dir, d->uid, d->gid) || fchmod(dir, d->mode & 07777))
		return -errno;
	r = vu_unpack_set_xattrs(u, d->xattrs, d->xattrs_bytes, dir, NULL);
	return r ? r : futimens(dir, times) ? -errno : 0;
}

/* ---- links, devices, FIFOs ---- */

/* A file that has another name has to be there, if only as an empty one. */
static int make_standin_real(struct vu_unpack *u, const char *base)
{
	struct vu_standin *s =
		u->standins.v.n ? vu_standins_find(&u->standins, u->parent_ino, base) : NULL;
	struct vu_stat st;

	if (!s)
		return 0;
	if (mknodat(u->parent, base, S_IFREG | 0600, 0))
		return -errno;
	int r = vu_stat_at(u->parent, base, &st);

	if (!r)
		r = u->env->placed(u->env->arg, st.version.ino, s->token);
	s->token = VU_STANDIN_NONE;
	return r;
}

/* The other name of a member that is there: a directory has none. */
static int make_link(struct vu_unpack *u, const struct vu_member *m)
{
	const char *wrong = vu_member_path(m->link, u->env->max_depth, u->target), *base;
	_cleanup_fd_ int from = -EBADF;
	struct vu_stat st;
	int r;

	if (wrong || !*u->target)
		return vu_unpack_refuse(u, "of what it is a hard link to: %s",
					wrong ? wrong : "it is the root");
	r = vu_unpack_parent(u, u->target, false, &base);
	if (!r)
		r = make_standin_real(u, base);
	if (!r)
		r = vu_stat_at(u->parent, base, &st);
	if (r == -ENOENT || (!r && S_ISDIR(st.mode)))
		return vu_unpack_refuse(
			u, "it is a hard link to what is no file of the archive: %.300s",
			u->target);
	if (!r) {
		from = openat(u->parent, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		r = from < 0 ? -errno : vu_unpack_parent(u, u->path, true, &base);
	}
	if (r)
		return r;
	vu_unpack_drop_standin(u, base);
	if (linkat(from, "", u->parent, base, AT_EMPTY_PATH)) {
		struct vu_stat there;

		if (errno != EEXIST)
			return -errno;
		r = vu_stat_at(u->parent, base, &there);
		if (r || there.version.ino == st.version.ino)
			return r;
		r = vu_unpack_clear(u, base);
		if (!r && linkat(from, "", u->parent, base, AT_EMPTY_PATH))
			r = -errno;
	}
	u->stats.links += !r;
	return r ? r : vu_unpack_touch(u, st.version.ino);
}

static int make_node(struct vu_unpack *u, const struct vu_member *m, uint32_t mode,
		     const char *base)
{
	int r;

	if (S_ISLNK(mode))
		r = symlinkat(m->link, u->parent, base);
	else
		r = mknodat(u->parent, base, mode & (S_IFMT | 07777),
			    S_ISFIFO(mode) ? 0 : makedev(m->dev_major, m->dev_minor));
	return r ? -errno : 0;
}

/* By its path in /proc: what is no regular file is not opened. */
static int set_node_metadata(struct vu_unpack *u, const struct vu_member *m, uint32_t mode,
			     const char *base)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, vu_unpack_mtime(m)};
	_cleanup_free_ char *path = NULL;

	if (fchownat(u->parent, base, m->uid, m->gid, AT_SYMLINK_NOFOLLOW) ||
	    (!S_ISLNK(mode) && fchmodat(u->parent, base, mode & 07777, 0)))
		return -errno;
	if (asprintf(&path, "/proc/self/fd/%d/%s", u->parent, base) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	int r = vu_unpack_set_xattrs(u, u->xattrs.data, u->xattrs.len, -EBADF, path);

	return r ? r : utimensat(u->parent, base, times, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}

static int make_other(struct vu_unpack *u, const struct vu_member *m, uint32_t mode,
		      const char *base)
{
	struct vu_stat st;

	if (S_ISLNK(mode) && (!*m->link || strlen(m->link) > VU_MEMBER_PATH_MAX))
		return vu_unpack_refuse(u, "it is a symbolic link to nothing, or to a longer name "
					   "than there can be");
	vu_unpack_drop_standin(u, base);
	int r = make_node(u, m, mode, base);

	if (r == -EEXIST) {
		r = vu_unpack_clear(u, base);
		if (!r)
			r = make_node(u, m, mode, base);
	}
	if (!r)
		r = set_node_metadata(u, m, mode, base);
	if (!r)
		r = vu_stat_at(u->parent, base, &st);
	u->stats.others += !r;
	return r ? r : vu_unpack_touch(u, st.version.ino);
}

/* ---- members ---- */

static int check_kind(struct vu_unpack *u, const struct vu_member *m)
{
	switch (m->mode & S_IFMT) {
	case S_IFREG:
		if (m->mode & (S_ISUID | S_ISGID) && !(u->env->flags & VU_UNPACK_SETID))
			return vu_unpack_refuse(u, "it is set-user-ID or set-group-ID: --setid "
						   "allows that");
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		if (!(u->env->flags & VU_UNPACK_DEVICES))
			return vu_unpack_refuse(u, "it is a device: --devices allows that");
		return 0;
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
		return 0;
	default:
		return vu_unpack_refuse(u, "it is of no kind that a file can have");
	}
}

static int make_by_kind(struct vu_unpack *u, const struct vu_member *m)
{
	struct vu_attr attr = {.mode = m->mode & (S_IFMT | 07777), .uid = m->uid, .gid = m->gid};
	const char *base;
	int r = check_kind(u, m);

	if (!r && !*u->path && !S_ISDIR(m->mode))
		r = vu_unpack_refuse(u, "it would be the root, and is no directory");
	if (!r)
		r = vu_unpack_parent(u, u->path, true, &base);
	if (!r)
		r = vu_unpack_take_xattrs(u, m, &attr);
	if (r)
		return r;
	if (S_ISREG(m->mode))
		return vu_unpack_regular(u, m, &attr, base);
	r = S_ISDIR(m->mode) ? make_dir(u, m, &attr, base) : make_other(u, m, attr.mode, base);
	return r ? r : vu_unpack_skip_data(u);
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int make_whiteout(struct vu_unpack *u)
{
	const char *base;
	int r = vu_unpack_parent(u, u->path, false, &base);

	if (!r)
		r = vu_unpack_whiteout(u, base);
	/* where there is no directory there is nothing to be taken away */
	if (r == -ENOENT)
		r = 0;
	return r ? r : vu_unpack_skip_data(u);
}

static int take_member(struct vu_unpack *u, const struct vu_member *m)
{
	snprintf(u->member, sizeof(u->member), "%s", m->path);
	if (++u->stats.members > u->env->max_members)
		return vu_unpack_refuse(u, "there are more members than max_files");
	const char *wrong = vu_member_path(m->path, u->env->max_depth, u->path);

	if (wrong)
		return vu_unpack_refuse(u, "%s", wrong);
	if (u->env->flags & VU_UNPACK_LAYERS && !strncmp(base_of(u->path), ".wh.", 4))
		return make_whiteout(u);
	if (!m->hard)
		return make_by_kind(u, m);
	if (!*u->path)
		return vu_unpack_refuse(u, "it would be the root, and is no directory");
	int r = make_link(u, m);

	return r ? r : vu_unpack_skip_data(u);
}

static int take_all(struct vu_unpack *u)
{
	struct vu_stream_item it;
	int r;

	u->member[0] = 0;
	while (!(r = vu_unpack_next(u, &it)) && it.kind == VU_STREAM_MEMBER) {
		r = take_member(u, &it.member);
		if (r)
			break;
		u->member[0] = 0;
	}
	return r ? r : it.kind == VU_STREAM_DONE ? 0 : -EPROTO;
}

int vu_unpack_layer(struct vu_unpack *u, int stream)
{
	int r = vu_stream_in_init(&u->in, stream);

	if (!r)
		r = take_all(u);
	if (r == -EPROTO) {
		vu_unpack_refuse(u, "the process that reads it has failed");
		r = VU_UNPACK_BROKEN;
	}
	vu_stream_in_done(&u->in);
	u->layer++;
	return r;
}

/* ---- life ---- */

static int init(struct vu_unpack *u)
{
	struct vu_stat st;
	int r = vu_stat_fd(u->env->root, &st);

	u->content_hash = vu_hash_new();
	u->attr_hash = vu_hash_new();
	u->buf = malloc(VU_UNPACK_BUF);
	if (!u->content_hash || !u->attr_hash || !u->buf)
		return -ENOMEM;
	u->root_ino = r ? 0 : st.version.ino;
	if (!r)
		r = vu_standins_init(&u->standins);
	return r ? r : vu_chunks_init(&u->dir_records, sizeof(struct vu_unpack_dir));
}

int vu_unpack_new(const struct vu_unpack_env *env, struct vu_unpack **ret)
{
	struct vu_unpack *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->env = env;
	u->parent = -EBADF;
	u->in.fd = -EBADF;
	int r = init(u);

	if (r)
		vu_unpack_free(u);
	else
		*ret = u;
	return r;
}

struct vu_unpack *vu_unpack_free(struct vu_unpack *u)
{
	if (!u)
		return NULL;
	for (uint32_t i = 0; i < u->dir_records.n; i++)
		free(((struct vu_unpack_dir *)vu_chunks_at(&u->dir_records, i))->xattrs);
	vu_chunks_done(&u->dir_records);
	vu_standins_done(&u->standins);
	vu_inomap_done(&u->dirs);
	vu_inomap_done(&u->touched);
	vu_close_p(&u->parent);
	free(u->parent_path);
	vu_hash_free(u->content_hash);
	vu_hash_free(u->attr_hash);
	free(u->xattrs.data);
	free(u->buf);
	free(u);
	return NULL;
}

const char *vu_unpack_why(const struct vu_unpack *u, const char **ret_member)
{
	*ret_member = u->member[0] ? u->member : NULL;
	return u->why;
}

const struct vu_standins *vu_unpack_standins(const struct vu_unpack *u)
{
	return &u->standins;
}

const struct vu_unpack_stats *vu_unpack_stats(const struct vu_unpack *u)
{
	return &u->stats;
}
