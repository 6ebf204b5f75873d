/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Directory by directory (ops/dir-walk.h): first the directory itself, then what is in it but for
 * directories, each name pinned, looked at, and only then opened if it is a regular file.
 *
 * Names of one inode: the first that is met is the member, the others are links to it. A guest may free
 * the inode's number meanwhile and get it for a new file: so a further name counts as one only while type,
 * size and mtime are the same; else it is a member of its own. Subvolumes of btrfs are no mounts, and each has inodes
 * of the same numbers.
 */
#include "ops/export-tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/inomap.h"
#include "base/stop.h"
#include "base/want.h"
#include "fs/pagecache.h"
#include "fs/reopen.h"
#include "fs/stat.h"
#include "fs/xattr.h"
#include "ops/dir-walk.h"

#define READ_BYTES ((size_t)256 << 10)
#define EXTENTS_MAX 4096 /* of one file; the rest of it is written as it reads */

/* A name of an inode that has several. */
struct first_name {
	uint64_t dev;
	uint64_t size;
	uint64_t mtime_ns;
	uint32_t mode;
	uint32_t dir;
	uint32_t name;
	uint32_t next; /* with the same number of another device; or NONE */
};

#define NONE UINT32_MAX

struct tree {
	struct vu_session *s;
	struct vu_pax *pax;
	struct vu_export_report *rep;
	struct vu_dirwalk walk;
	struct vu_inomap links;	 /* inode -> number in firsts, of the one that was met last */
	struct vu_chunks firsts; /* struct first_name */
	uint64_t mount;		 /* id of the root's */
	uint64_t n_members;
	char *buf;		   /* owned; READ_BYTES */
	struct vu_extent *extents; /* owned; EXTENTS_MAX */
	int dir;		   /* borrowed; the current directory */
};

/* ---- what is told ---- */

static int note(struct tree *t, const char *name, int err, const char *text)
{
	_cleanup_free_ char *path = vu_dirwalk_path(&t->walk, t->walk.dir, name);

	if (vu_is_want(err))
		return err;
	vu_emit(&t->s->counting, &(struct vu_event){.kind = VU_EVENT_WARN,
						    .guest = t->s->guests.v[0].name,
						    .path = path,
						    .err = err,
						    .text = text});
	return 0;
}

static char *member_path(struct tree *t, uint32_t dir, const char *name)
{
	_cleanup_free_ char *path = vu_dirwalk_path(&t->walk, dir, name);
	char *member = NULL;

	/* "./", so that no name of a guest begins with what tools take for an option; "." is the root */
	if (!path || asprintf(&member, *path ? "./%s" : ".%s", path) < 0)
		return NULL;
	return member;
}

/* ---- attributes ---- */

static int add_xattr(void *arg, const char *name, const void *value, size_t len)
{
	struct tree *t = arg;
	int r = vu_pax_xattr(t->pax, name, value, len);

	return r == -EINVAL ? note(t, NULL, 0, "an ACL that is none was left out") : r;
}

static int add_xattrs(struct tree *t, int fd, const char *name)
{
	int r = vu_xattr_each(fd, t->s->ops->config->max_xattr_bytes, add_xattr, t);

	if (r == VU_XATTR_TOO_LARGE)
		return note(t, name, 0, "attributes were left out: they are above max_xattr_bytes");
	return r == -EOPNOTSUPP ? 0 : r;
}

/* ---- content ---- */

/* What is data: only asked where less is allocated than the size would take. Returns how many extents. */
static size_t find_extents(struct tree *t, int fd, const struct vu_stat *st)
{
	off_t at = 0, end = (off_t)st->version.size;
	size_t n = 0;

	if (!end || st->blocks * 512 >= st->version.size)
		return 0;
	while (at < end && n < EXTENTS_MAX) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 || data >= end)
			break;
		hole = n + 1 < EXTENTS_MAX ? lseek(fd, data, SEEK_HOLE) : end;
		if (hole <= data || hole > end)
			hole = end;
		t->extents[n++] =
			(struct vu_extent){(uint64_t)data, (uint64_t)hole - (uint64_t)data};
		at = hole;
	}
	/* nothing but a hole: an extent without length, so that it is one */
	if (!n)
		t->extents[n++] = (struct vu_extent){st->version.size, 0};
	return n;
}

/* Reads a part of the file and passes it on; *short_by: bytes that were not there any more. */
static int copy_part(struct tree *t, struct vu_quiet_reader *q, const struct vu_extent *x,
		     uint64_t *short_by, int *ret_failed)
{
	uint64_t at = x->at, end = x->at + x->len;
	int r = 0;

	while (!r && at < end && !vu_stop_requested()) {
		size_t want = (size_t)VU_MIN(READ_BYTES, end - at);
		ssize_t n = vu_quiet_read(q, t->buf, want, at);

		if (n < 0)
			*ret_failed = (int)n;
		if (n <= 0) { /* the rest is zeros */
			*short_by += end - at;
			return vu_pax_data(t->pax, NULL, end - at);
		}
		r = vu_pax_data(t->pax, t->buf, (uint64_t)n);
		at += (uint64_t)n;
	}
	return r ? r : vu_stop_requested() ? -ECANCELED : 0;
}

static int copy_content(struct tree *t, int fd, const struct vu_stat *st, size_t n_extents,
			uint64_t *short_by, int *ret_failed)
{
	const struct vu_extent all = {0, st->version.size};
	const struct vu_extent *x = n_extents ? t->extents : &all;
	struct vu_quiet_reader q;
	uint64_t at = 0;
	int r = 0;

	vu_quiet_begin(&q, fd, st->version.size, true);
	for (size_t i = 0; !r && i < (n_extents ? n_extents : 1); i++) {
		r = vu_pax_data(t->pax, NULL, x[i].at - at);
		if (!r)
			r = copy_part(t, &q, &x[i], short_by, ret_failed);
		at = x[i].at + x[i].len;
	}
	vu_quiet_end(&q);
	return r ? r : vu_pax_data(t->pax, NULL, st->version.size - at);
}

static int tell_content(struct tree *t, const char *name, int fd, const struct vu_stat *was,
			uint64_t short_by, int failed)
{
	struct vu_stat now;

	if (failed)
		return note(t, name, failed, "cannot be read: zeros are in the archive for it");
	if (short_by)
		return note(t, name, 0,
			    "became shorter while it was read: the archive has zeros for what was "
			    "missing");
	if (!vu_stat_fd(fd, &now) && now.version.size == was->version.size &&
	    now.version.mtime_ns == was->version.mtime_ns)
		return 0;
	return note(t, name, 0,
		    "changed while it was read: the archive may have a mixture of old and new");
}

/* ---- members ---- */

static struct vu_pax_member describe(const struct vu_stat *st, const char *path)
{
	return (struct vu_pax_member){
		.path = path,
		.mode = st->mode,
		.uid = st->uid,
		.gid = st->gid,
		.mtime_ns = st->version.mtime_ns,
	};
}

static int add_regular(struct tree *t, int pin, const char *name, const char *path)
{
	_cleanup_fd_ int fd = vu_reopen(pin, O_RDONLY | O_NOATIME | O_NONBLOCK);
	uint64_t short_by = 0;
	struct vu_stat st;
	int failed = 0, r = fd < 0 ? fd : vu_stat_fd(fd, &st);

	if (r)
		return note(t, name, r, "cannot be read: it is not in the archive");
	struct vu_pax_member m = describe(&st, path);

	m.size = st.version.size;
	m.extents = t->extents;
	m.n_extents = find_extents(t, fd, &st);
	r = add_xattrs(t, fd, name);
	if (!r)
		r = vu_pax_begin(t->pax, &m);
	if (!r)
		r = copy_content(t, fd, &st, m.n_extents, &short_by, &failed);
	if (r)
		return r;
	t->rep->files++;
	t->rep->bytes += st.version.size;
	if (t->s->ops->progress)
		vu_progress_add(t->s->ops->progress, 1, st.version.size);
	return tell_content(t, name, fd, &st, short_by, failed);
}

static int read_link(int pin, char **ret)
{
	char *target = malloc(PATH_MAX + 1);
	ssize_t n = target ? readlinkat(pin, "", target, PATH_MAX) : -1;

	if (n < 0) {
		int r = target ? -errno : -ENOMEM;

		free(target);
		return r;
	}
	target[n] = 0;
	*ret = target;
	return 0;
}

static int add_other(struct tree *t, int pin, const struct vu_stat *st, const char *name,
		     const char *path)
{
	_cleanup_free_ char *target = NULL;
	struct vu_pax_member m = describe(st, path);
	struct stat dev;
	int r = S_ISLNK(st->mode) ? read_link(pin, &target) : 0;

	if (!r && (S_ISCHR(st->mode) || S_ISBLK(st->mode))) {
		r = fstat(pin, &dev) ? -errno : 0;
		m.dev_major = r ? 0 : major(dev.st_rdev);
		m.dev_minor = r ? 0 : minor(dev.st_rdev);
	}
	if (r)
		return note(t, name, r, "cannot be read: it is not in the archive");
	m.target = target;
	r = add_xattrs(t, pin, name);
	if (!r)
		r = vu_pax_begin(t->pax, &m);
	if (!r)
		t->rep->others++;
	return r;
}

/* ---- names of one inode ---- */

static bool is_same(const struct first_name *f, const struct vu_stat *st)
{
	return f->size == st->version.size && f->mtime_ns == st->version.mtime_ns &&
	       f->mode == st->mode;
}

/* Of the inode, as it was when it was met; or NULL. */
static const struct first_name *find_first(const struct tree *t, const struct vu_stat *st)
{
	uint32_t i;

	if (!vu_inomap_get(&t->links, st->version.ino, &i))
		return NULL;
	for (; i != NONE; i = ((const struct first_name *)vu_chunks_at(&t->firsts, i))->next) {
		const struct first_name *f = vu_chunks_at(&t->firsts, i);

		if (f->dev == st->version.dev)
			return is_same(f, st) ? f : NULL;
	}
	return NULL;
}

/* Is it a further name? Returns 1 when it was written as one, 0 if not, or a negative errno. */
static int add_link(struct tree *t, const struct vu_stat *st, const char *path)
{
	const struct first_name *f = find_first(t, st);

	if (!f)
		return 0;
	_cleanup_free_ char *first = member_path(t, f->dir, vu_arena_at(&t->walk.text, f->name));
	struct vu_pax_member m = describe(st, path);

	if (!first)
		return -ENOMEM;
	m.hard_link = first;
	int r = vu_pax_begin(t->pax, &m);

	if (r)
		return r;
	t->rep->links++;
	return 1;
}

static int note_first(struct tree *t, const struct vu_stat *st, const char *name)
{
	struct first_name f = {
		.dev = st->version.dev,
		.size = st->version.size,
		.mtime_ns = st->version.mtime_ns,
		.mode = st->mode,
		.dir = t->walk.dir,
		.next = NONE,
	};
	uint32_t i;
	int r = vu_dirwalk_keep(&t->walk, name, &f.name);

	if (!r)
		r = vu_chunks_add(&t->firsts, 1, &i);
	if (r)
		return r;
	(void)vu_inomap_get(&t->links, st->version.ino, &f.next);
	*(struct first_name *)vu_chunks_at(&t->firsts, i) = f;
	return vu_inomap_set(&t->links, st->version.ino, i);
}

/* ---- directories ---- */

static int add_dir(struct tree *t, int fd)
{
	_cleanup_free_ char *path = member_path(t, t->walk.dir, NULL);
	struct vu_stat st;
	int r = path ? vu_stat_fd(fd, &st) : -ENOMEM;

	if (r)
		return r;
	struct vu_pax_member m = describe(&st, path);

	r = add_xattrs(t, fd, NULL);
	if (!r)
		r = vu_pax_begin(t->pax, &m);
	t->rep->dirs += !r;
	return r;
}

static int note_subdir(struct tree *t, int pin, const struct vu_stat *st, const char *name)
{
	/* a mount's top is what it covers a directory for: the archive has an empty one there */
	if (st->mount != t->mount || st->attributes & STATX_ATTR_MOUNT_ROOT) {
		_cleanup_free_ char *path = member_path(t, t->walk.dir, name);
		struct vu_pax_member m = describe(st, path);

		(void)pin;
		return path ? vu_pax_begin(t->pax, &m) : -ENOMEM;
	}
	int r = vu_dirwalk_add(&t->walk, name);

	return r == VU_DIRWALK_DEEP
		       ? note(t, name, 0, "left out with all in it: it lies below max_depth")
		       : r;
}

static int add_name(struct tree *t, const char *name, int pin, const struct vu_stat *st)
{
	_cleanup_free_ char *path = member_path(t, t->walk.dir, name);
	int r = path ? 0 : -ENOMEM;

	if (!r && st->n_links > 1)
		r = add_link(t, st, path);
	if (r)
		return r < 0 ? r : 0;
	uint64_t before = t->rep->files + t->rep->others;

	r = S_ISREG(st->mode) ? add_regular(t, pin, name, path) : add_other(t, pin, st, name, path);
	if (!r && st->n_links > 1 && t->rep->files + t->rep->others > before)
		r = note_first(t, st, name);
	return r;
}

static int on_entry(void *arg, const struct vu_entry *e)
{
	struct tree *t = arg;
	_cleanup_fd_ int pin = openat(t->dir, e->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct vu_stat st = {0};
	int r = pin < 0 ? -errno : vu_stat_fd(pin, &st);

	if (vu_stop_requested())
		return -ECANCELED;
	if (r) /* one that is gone since the directory was read is none of the guest's any more */
		return r == -ENOENT ? 0 : note(t, e->name, r, "cannot be looked at");
	if (++t->n_members > t->s->ops->config->max_files)
		return -EDOM;
	if (S_ISDIR(st.mode))
		return note_subdir(t, pin, &st, e->name);
	if (S_ISSOCK(st.mode)) {
		t->rep->sockets++;
		return 0;
	}
	return add_name(t, e->name, pin, &st);
}

static int batch_end(void *arg)
{
	(void)arg;
	return 0;
}

static int visit(struct tree *t)
{
	_cleanup_fd_ int fd = vu_dirwalk_open(&t->walk);
	const struct vu_listener l = {.entry = on_entry, .batch_end = batch_end, .arg = t};
	int failed = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : note(t, NULL, fd, "cannot be read: left out");
	t->dir = fd;
	int r = add_dir(t, fd);

	if (!r)
		r = vu_listing_each(fd, t->walk.buf, &l, &failed);
	return r ? r : failed ? note(t, NULL, failed, "cannot be read to its end") : 0;
}

static int prepare(struct tree *t)
{
	struct vu_stat st;
	int r = vu_stat_fd(t->s->root_fds[0], &st);

	t->mount = r ? 0 : st.mount;
	t->buf = malloc(READ_BYTES);
	t->extents = calloc(EXTENTS_MAX, sizeof(*t->extents));
	if (!t->buf || !t->extents)
		return -ENOMEM;
	if (!r)
		r = vu_chunks_init(&t->firsts, sizeof(struct first_name));
	if (!r)
		r = vu_dirwalk_init(&t->walk, t->s->root_fds[0], t->s->ops->config->max_depth);
	if (t->s->ops->progress)
		vu_progress_begin(t->s->ops->progress, VU_PHASE_READ, 0, 0);
	return r;
}

int vu_export_tree(struct vu_session *s, struct vu_pax *pax, struct vu_export_report *rep)
{
	struct tree t = {.s = s, .pax = pax, .rep = rep};
	int r = prepare(&t);

	while (!r && !(r = vu_dirwalk_next(&t.walk)))
		r = visit(&t);
	if (r == -EDOM)
		r = vu_fail(s->ops, VU_OPS_REFUSED, "cannot export the guest", s->guests.v[0].name,
			    "it has more files than max_files", "raise max_files in vunify.conf");
	vu_dirwalk_done(&t.walk);
	vu_chunks_done(&t.firsts);
	vu_inomap_done(&t.links);
	free(t.buf);
	free(t.extents);
	return r == VU_DIRWALK_END ? 0 : r;
}
