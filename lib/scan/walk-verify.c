/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory is verified by its names alone: each regular file in it must be a name of an object, or
 * a private name of the tree with the recorded inode number, and all of these must be there. Its
 * timestamps are taken before it is listed, so whatever happens later shows next time.
 */
#include "scan/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/crew.h"
#include "base/stop.h"
#include "base/want.h"
#include "scan/listing.h"
#include "scan/treeopen.h"
#include "scan/walk-visit.h"

struct verifier {
	struct vu_visit_shared s;
	uint32_t n_dirs;
	_Atomic uint32_t next;
	_Atomic uint64_t n_odd;
	_Atomic int error;
};

struct expected {
	const char *name;
	const struct vu_name *record;
};

/* The verification of one directory by one thread. */
struct check {
	struct verifier *v;
	void *buf;		   /* owned; VU_LISTING_BYTES */
	struct expected *expected; /* owned; sorted */
	size_t n_expected;
	size_t cap;
	uint32_t dir;
	int fd;		    /* borrowed */
	uint32_t n_private; /* found as expected */
	uint32_t n_unified;
	bool listed; /* in this run, before: its objects' names are held already */
	bool odd;
};

static int by_name(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Is it a name that the walk met in this run? */
static bool is_met(const struct vu_name *n)
{
	return n->fate != VU_UNSEEN && n->fate != VU_GONE;
}

/* Gathers the names of the directory that the tree holds one by one, those just unified as well. */
static int expect(struct check *c)
{
	struct vu_tree *t = c->v->s.t;
	uint32_t i = vu_tree_dir(t, c->dir)->first_name;

	c->n_expected = 0;
	for (; i != VU_NONE; i = vu_tree_name(t, i)->sibling) {
		const struct vu_name *n = vu_tree_name(t, i);

		if (!is_met(n))
			continue;
		if (c->n_expected == c->cap) {
			size_t cap = c->cap ? c->cap * 2 : 64;
			struct expected *e = reallocarray(c->expected, cap, sizeof(*e));

			if (!e)
				return -ENOMEM;
			c->expected = e;
			c->cap = cap;
		}
		c->expected[c->n_expected++] =
			(struct expected){.name = vu_tree_text(t, n->name), .record = n};
	}
	if (c->n_expected > 1)
		qsort(c->expected, c->n_expected, sizeof(*c->expected), by_name);
	return 0;
}

static const struct vu_name *find(const struct check *c, const char *name)
{
	struct expected key = {.name = name}, *e = NULL;

	if (c->n_expected)
		e = bsearch(&key, c->expected, c->n_expected, sizeof(key), by_name);
	return e ? e->record : NULL;
}

static int unified_add(struct check *c, const char *name, uint64_t ino)
{
	struct vu_tree *t = c->v->s.t;
	const struct vu_name *n = find(c, name);

	c->n_unified++;
	if (c->listed && !n)
		return 0;
	pthread_mutex_lock(&t->lock);
	int r = vu_tree_unified_add(t, c->dir, name, ino);

	pthread_mutex_unlock(&t->lock);
	return r;
}

/* A regular file of the directory. */
static int on_file(struct check *c, const char *name, uint64_t ino)
{
	struct vu_tree *t = c->v->s.t;
	const struct vu_walk_guest *g = &c->v->s.env->guests[vu_tree_dir(t, c->dir)->guest];
	const struct vu_name *n;

	if (g->objects && vu_inomap_get(g->objects, ino, NULL))
		return unified_add(c, name, ino);
	n = find(c, name);
	if (n && !n->unified && vu_tree_inode(t, n->inode)->ino == ino)
		c->n_private++;
	else
		c->odd = true;
	return 0;
}

static int on_entry(void *arg, const struct vu_entry *e)
{
	struct check *c = arg;
	const struct vu_visit_root *root = &c->v->s.roots[vu_tree_dir(c->v->s.t, c->dir)->guest];
	struct vu_stat st;

	if (e->type != DT_UNKNOWN && e->type != DT_REG)
		return 0;
	if (e->type == DT_REG && root->trust_ino)
		return on_file(c, e->name, e->ino);
	if (vu_stat_at(c->fd, e->name, &st)) {
		c->odd = true;
		return 0;
	}
	if (!S_ISREG(st.mode) || st.version.dev != root->dev || st.mount != root->mount)
		return 0;
	return on_file(c, e->name, st.version.ino);
}

static int on_batch_end(void *arg)
{
	(void)arg;
	return 0;
}

/* How many private names should there be? */
static uint32_t n_private_expected(const struct check *c)
{
	uint32_t n = 0;

	for (size_t i = 0; i < c->n_expected; i++) {
		const struct vu_name *m = c->expected[i].record;

		/* a private inode that was taken over as an object kept its names */
		n += !m->unified && !(vu_tree_inode(c->v->s.t, m->inode)->flags & VU_INODE_ADOPTED);
	}
	return n;
}

static bool is_fresh(const struct vu_walk_env *env, const struct vu_stat *st)
{
	uint64_t now = vu_clock_real_ns();

	return st->version.mtime_ns + env->granularity_ns > now ||
	       st->version.ctime_ns + env->granularity_ns > now;
}

/* Somebody else changed it: so its mtime must not be the one that was put back. */
static void touch(int fd)
{
	static const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};

	futimens(fd, now);
}

static void record(struct check *c, struct vu_dir *d, const struct vu_stat *st, bool fresh)
{
	d->mtime_ns = st->version.mtime_ns;
	d->ctime_ns = st->version.ctime_ns;
	d->n_unified = c->n_unified;
	d->flags &= (uint8_t) ~(VU_DIR_FRESH | VU_DIR_CLEAN);
	d->flags |= VU_DIR_LISTED;
	if (fresh || c->odd)
		d->flags |= VU_DIR_FRESH;
	if (d->fate == VU_KEPT)
		d->fate = VU_CHANGED;
}

/* Lists and compares an open directory. */
static int verify_open(struct check *c, struct vu_dir *d)
{
	struct vu_listener l = {.entry = on_entry, .batch_end = on_batch_end, .arg = c};
	struct vu_stat st;
	int failed = 0, r = vu_stat_fd(c->fd, &st);
	bool fresh = r || is_fresh(c->v->s.env, &st);

	if (!r)
		r = expect(c);
	if (r)
		return r;
	r = vu_listing_each(c->fd, c->buf, &l, &failed);
	if (r)
		return r;
	if (failed || c->n_private != n_private_expected(c))
		c->odd = true;
	record(c, d, &st, fresh);
	if (c->odd) {
		touch(c->fd);
		atomic_fetch_add(&c->v->n_odd, 1);
	}
	return 0;
}

static int verify_dir(struct check *c, uint32_t dir)
{
	struct vu_dir *d = vu_tree_dir(c->v->s.t, dir);
	_cleanup_fd_ int fd = vu_treeopen_dir(c->v->s.t, c->v->s.env->guests[d->guest].root, dir,
					      O_RDONLY | O_NOATIME);

	if (vu_is_want(fd))
		return fd;
	if (fd < 0) {
		d->flags |= VU_DIR_FRESH;
		atomic_fetch_add(&c->v->n_odd, 1);
		return 0;
	}
	c->dir = dir;
	c->fd = fd;
	c->n_private = c->n_unified = 0;
	c->listed = d->flags & VU_DIR_LISTED;
	c->odd = false;
	return verify_open(c, d);
}

static void check_done(struct check *c)
{
	free(c->buf);
	free(c->expected);
}

VU_DEFINE_CLEANUP_DONE(struct check, check_done)

static int work(void *arg, unsigned thread)
{
	struct verifier *v = arg;
	vu_cleanup(check_done_p) struct check c = {.v = v, .buf = malloc(VU_LISTING_BYTES)};
	int r = c.buf ? 0 : -ENOMEM;
	uint32_t i;

	(void)thread;
	while (!r && !atomic_load(&v->error) && (i = atomic_fetch_add(&v->next, 1)) < v->n_dirs) {
		if (!(vu_tree_dir(v->s.t, i)->flags & VU_DIR_TOUCHED))
			continue;
		r = vu_stop_requested() ? -ECANCELED : verify_dir(&c, i);
	}
	if (r)
		atomic_store(&v->error, r);
	return r;
}

int vu_walk_verify(const struct vu_walk_env *env, struct vu_tree *t, uint64_t *ret_odd)
{
	struct verifier v = {.n_dirs = t->dirs.n};
	int r = vu_visit_shared_init(&v.s, env, t);

	if (!r)
		r = vu_crew_run(VU_MAX(env->jobs, 1U), work, &v);
	vu_visit_shared_done(&v.s);
	if (!r)
		*ret_odd = v.n_odd;
	return r;
}
