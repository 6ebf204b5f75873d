/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order matters: pin (O_PATH), compare with the record, open that very inode, complete its
 * attributes, take a lease and give it back (nobody has it open for writing now), read, compare
 * again. Whoever began to write in between has changed mtime and ctime, unless that happened within
 * the same tick of the clock as the last change before: a file that was changed just now is waited
 * for (20 ms, some times), then left.
 */
#include "scan/content-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/want.h"
#include "fs/iattr.h"
#include "fs/lease.h"
#include "fs/stat.h"
#include "fs/xattr.h"
#include "scan/treeopen.h"

#define WAITS_MAX 50 /* of one thread */

int vu_content_reader_init(struct vu_content_reader *c)
{
	c->attr_n = VU_NONE;
	c->hash = vu_hash_new();
	return c->hash ? 0 : -ENOMEM;
}

void vu_content_reader_done(struct vu_content_reader *c)
{
	c->hash = vu_hash_free(c->hash);
}

static void tell(struct vu_content_reader *c, const struct vu_inode *n, int err)
{
	_cleanup_free_ char *path = NULL;
	bool object = n->flags & VU_INODE_OBJECT;

	if (n->first_name != VU_NONE)
		path = vu_tree_name_path(c->t, n->first_name);
	struct vu_event e = {
		.kind = VU_EVENT_SKIP,
		.skip = VU_SKIP_UNREADABLE,
		.err = err,
		.guest = object ? NULL : c->env->walk->guests[n->guest].name,
		.path = path,
		.size = n->size,
	};

	pthread_mutex_lock(c->sink_lock);
	vu_emit(c->env->walk->sink, &e);
	pthread_mutex_unlock(c->sink_lock);
}

static int skip(struct vu_content_reader *c, struct vu_inode *n, enum vu_skip why)
{
	n->content = VU_NONE;
	n->skip = (uint8_t)why;
	if (n->fate == VU_KEPT)
		n->fate = VU_CHANGED;
	c->stats.n_failed++;
	if (c->env->walk->progress)
		vu_progress_add(c->env->walk->progress, 1, n->size);
	return VU_CONTENT_SKIPPED;
}

/* Turns the errno of one file into its skip. */
static int skip_errno(struct vu_content_reader *c, struct vu_inode *n, int err)
{
	if (vu_is_want(err))
		return err;
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EXDEV:
	case -ESTALE:
		return skip(c, n, VU_SKIP_CHANGED);
	case -EAGAIN:
		return skip(c, n, VU_SKIP_OPEN_FOR_WRITE);
	default:
		tell(c, n, err);
		return skip(c, n, VU_SKIP_UNREADABLE);
	}
}

static int pin(const struct vu_content_reader *c, const struct vu_inode *n, uint32_t inode)
{
	if (!(n->flags & VU_INODE_OBJECT))
		return vu_treeopen_name(c->t, c->env->walk->guests[n->guest].root, n->first_name);
	if (!c->env->open_object)
		return -ESTALE;
	return c->env->open_object(c->env->open_object_arg, inode);
}

static bool is_recorded(const struct vu_content_reader *c, const struct vu_inode *n,
			const struct vu_stat *st)
{
	const struct vu_version *v = &st->version;
	const struct vu_attr *a = vu_attrs_at(c->t->attrs, n->attr);

	return v->ino == n->ino && v->size == n->size && v->mtime_ns == n->mtime_ns &&
	       v->ctime_ns == n->ctime_ns && st->mode == a->mode && st->uid == a->uid &&
	       st->gid == a->gid && ((n->flags & VU_INODE_OBJECT) || v->dev == c->devs[n->guest]);
}

/* Waits until a change would show in the timestamps. False: no more patience. */
static bool let_settle(struct vu_content_reader *c, uint64_t ctime_ns)
{
	uint64_t gran = c->env->walk->granularity_ns, now = vu_clock_real_ns();
	struct timespec ts;

	/* far in the future: the clock was set back, and says nothing */
	if (ctime_ns + gran <= now || ctime_ns > now + gran)
		return true;
	if (c->n_waits++ >= WAITS_MAX)
		return false;
	uint64_t wait = ctime_ns + gran - now;

	ts = (struct timespec){
		.tv_sec = (time_t)(wait / UINT64_C(1000000000)),
		.tv_nsec = (long)(wait % UINT64_C(1000000000)),
	};
	nanosleep(&ts, NULL);
	return true;
}

static int attr_set(struct vu_content_reader *c, struct vu_inode *n, const struct vu_attr *a)
{
	const struct vu_attr *l = &c->attr;

	if (c->attr_n == VU_NONE || a->has_xattrs || l->has_xattrs || a->mode != l->mode ||
	    a->uid != l->uid || a->gid != l->gid || a->flags != l->flags) {
		c->attr_n = VU_NONE;
		int r = vu_attrs_intern(c->t->attrs, a, &c->attr_n);

		if (r)
			return r;
		c->attr = *a;
	}
	n->attr = c->attr_n;
	return 0;
}

/* Is it to be read at all, by what only an open file tells? */
static int examine(struct vu_content_reader *c, struct vu_inode *n, int fd,
		   const struct vu_stat *st)
{
	struct vu_attr a = vu_stat_attr(st);
	bool object = n->flags & VU_INODE_OBJECT;
	uint32_t project = 0;
	int r = vu_xattr_complete(fd, c->hash, c->env->max_xattr_bytes, &a);

	if (r == VU_XATTR_TOO_LARGE)
		return skip(c, n, VU_SKIP_LIMIT);
	if (!r)
		r = attr_set(c, n, &a);
	if (r)
		return skip_errno(c, n, r);
	if (a.has_caps && !c->env->walk->unify_setid && !object)
		return skip(c, n, VU_SKIP_CAPABILITY);
	if (object)
		return 0;
	r = vu_iattr_project(fd, &project);
	if (r)
		return skip_errno(c, n, r);
	if (project)
		return skip(c, n, VU_SKIP_CROSS_DEVICE);
	r = vu_lease_take(fd);
	if (r == VU_LEASE_BUSY)
		return skip(c, n, VU_SKIP_OPEN_FOR_WRITE);
	if (r)
		return skip_errno(c, n, r);
	vu_lease_drop(fd);
	return 0;
}

/* As vu_reopen(), which needs three more lookups: a quarter of what opening costs. */
static int reopen(const struct vu_content_reader *c, int pinned)
{
	char number[12];

	snprintf(number, sizeof(number), "%d", pinned);
	int fd = openat(c->self_fd, number, O_RDONLY | O_NOATIME | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vu_content_open(struct vu_content_reader *c, uint32_t inode, struct vu_content_file *ret)
{
	struct vu_inode *n = vu_tree_inode(c->t, inode);
	_cleanup_fd_ int path = pin(c, n, inode), fd = -EBADF;
	struct vu_stat st;

	if (!(n->flags & VU_INODE_OBJECT))
		vu_progress_guest(c->env->walk->progress, n->guest);
	int r = path < 0 ? path : vu_stat_fd(path, &st);

	if (r)
		return skip_errno(c, n, r);
	if (!is_recorded(c, n, &st) || !let_settle(c, st.version.ctime_ns))
		return skip(c, n, VU_SKIP_CHANGED);
	if (st.version.size > st.blocks * 512 &&
	    st.version.size - st.blocks * 512 > VU_CONTENT_MAX_HOLES)
		return skip(c, n, VU_SKIP_LIMIT);
	if (n->flags & VU_INODE_OBJECT)
		fd = vu_take_fd(path);
	else
		fd = reopen(c, path);
	if (fd < 0)
		return skip_errno(c, n, fd);
	r = examine(c, n, fd, &st);
	if (r)
		return r;
	if (c->env->on_open)
		c->env->on_open(c->env->on_open_arg, inode, fd);
	*ret = (struct vu_content_file){.inode = inode, .version = st.version};
	vu_quiet_begin(&ret->quiet, fd, n->size, !c->no_dontcache[n->fs]);
	ret->fd = vu_take_fd(fd);
	return 0;
}

int vu_content_read(struct vu_content_reader *c, struct vu_content_file *f, void *buf, size_t len,
		    uint64_t offset)
{
	struct vu_inode *n = vu_tree_inode(c->t, f->inode);
	ssize_t got = vu_quiet_read(&f->quiet, buf, len, offset);

	if (!f->quiet.dontcache)
		c->no_dontcache[n->fs] = true;
	if (got > 0)
		c->stats.bytes += (uint64_t)got;
	if (got == (ssize_t)len)
		return 0;
	vu_content_close(f);
	return got < 0 ? skip_errno(c, n, (int)got) : skip(c, n, VU_SKIP_CHANGED);
}

void vu_content_settle(struct vu_content_reader *c, struct vu_content_file *f, uint32_t content)
{
	struct vu_inode *n = vu_tree_inode(c->t, f->inode);
	struct vu_stat st;
	int r = vu_stat_fd(f->fd, &st);

	vu_content_close(f);
	if (r) {
		skip_errno(c, n, r);
	} else if (!vu_version_equal(&st.version, &f->version)) {
		skip(c, n, VU_SKIP_CHANGED);
	} else {
		n->content = content;
		n->flags |= VU_INODE_READ;
		if (n->fate == VU_KEPT)
			n->fate = VU_CHANGED;
		c->stats.n_read++;
		if (c->env->walk->progress)
			vu_progress_add(c->env->walk->progress, 1, n->size);
	}
}

void vu_content_close(struct vu_content_file *f)
{
	if (f->fd < 0)
		return;
	vu_quiet_end(&f->quiet);
	close(f->fd);
	f->fd = -EBADF;
}
