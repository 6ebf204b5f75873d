/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cachestat(2) wants a descriptor that is open, and nothing but a regular file is to be opened: so a file costs six
 * calls (pin, look, open through /proc/self/fd, ask, close both), of which the walk would make one anyway. No two
 * threads write one number with the walk: it asks about inodes with one name only.
 */
#include "ops/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/stop.h"
#include "fs/pagecache.h"
#include "fs/stat.h"
#include "scan/treeopen.h"

/* Numbers of pages + 1 end below. */
#define UNKNOWN UINT32_MAX
#define FOR_THE_WALK (UINT32_MAX - 1) /* the walk is to ask */
#define MOST (UINT32_MAX - 3)	      /* pages */

#define AT_ONCE 256 /* files that a thread takes */

/* The walk's threads hold two descriptors more each: where they are scarce it does not ask. */
#define ENOUGH_FDS 512

void vu_resident_done(struct vu_resident *r)
{
	if (r->session)
		vu_close_p(&r->self_fd);
	free(r->pages);
	free(r->root);
	*r = (struct vu_resident){0};
}

static int make_room(struct vu_resident *r, uint32_t n)
{
	_Atomic uint32_t *p = reallocarray(r->pages, (size_t)n + 1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	r->pages = p;
	for (uint32_t i = 0; i < r->n; i++) /* in a directory that was not clean */
		if (p[i] == FOR_THE_WALK)
			p[i] = 0;
	for (uint32_t i = r->n; i < n; i++)
		p[i] = 0;
	r->n = n;
	return 0;
}

static int know_roots(struct vu_resident *r)
{
	const struct vu_session *s = r->session;
	struct vu_stat st;
	int e = 0;

	r->root = calloc(s->guests.n + 1, sizeof(*r->root));
	if (!r->root)
		return -ENOMEM;
	for (size_t i = 0; !e && i < s->guests.n; i++) {
		e = vu_stat_fd(s->root_fds[i], &st);
		if (!e)
			r->root[i] = (struct vu_resident_root){st.version.dev, st.mount};
	}
	return e;
}

static int init(struct vu_resident *r, struct vu_session *s, const struct vu_farm *f)
{
	if (r->tree == f->tree)
		return make_room(r, f->tree->inodes.n);
	vu_resident_done(r);
	*r = (struct vu_resident){
		.session = s,
		.tree = f->tree,
		.self_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
		.jobs = vu_farm_jobs(s->ops->config),
	};
	if (r->self_fd < 0)
		return -errno;
	int e = know_roots(r);

	return e ? e : make_room(r, f->tree->inodes.n);
}

/* ---- asking ---- */

/* Later it is that of reading it: the first answer holds. */
static void note(struct vu_resident *r, uint32_t inode, int fd, uint64_t size)
{
	const struct vu_inode *n = vu_tree_inode(r->tree, inode);
	/* there cachestat knows of the upper mapping only, which is empty */
	bool overlay = !strcmp(r->session->fs[n->fs].mount.type, "overlay");
	uint64_t pages;

	if (vu_pagecache_resident(fd, size, overlay, &pages))
		r->pages[inode] = UNKNOWN;
	else
		r->pages[inode] = (uint32_t)VU_MIN(pages, MOST - 1) + 1;
}

static void on_open(void *arg, uint32_t inode, int fd)
{
	struct vu_resident *r = arg;

	if (inode < r->n && !r->pages[inode])
		note(r, inode, fd, vu_tree_inode(r->tree, inode)->size);
}

static bool is_recorded(const struct vu_resident *r, const struct vu_inode *n,
			const struct vu_stat *st)
{
	const struct vu_resident_root *root = &r->root[n->guest];

	return S_ISREG(st->mode) && st->version.dev == root->dev && st->mount == root->mount &&
	       st->version.ino == n->ino && st->version.size == n->size;
}

/* Opens what is pinned, for reading: that inode, whatever its name is by now. */
static int reopen(const struct vu_resident *r, int pin)
{
	char number[12], *p = number + sizeof(number) - 1;

	*p = 0;
	do
		*--p = (char)('0' + pin % 10);
	while (pin /= 10);
	return openat(r->self_fd, p, O_RDONLY | O_NOATIME | O_NONBLOCK | O_CLOEXEC);
}

static void ask_pinned(struct vu_resident *r, uint32_t inode, int pin, const struct vu_stat *st)
{
	const struct vu_inode *n = vu_tree_inode(r->tree, inode);
	_cleanup_fd_ int fd = is_recorded(r, n, st) ? reopen(r, pin) : -ESTALE;

	if (fd < 0)
		r->pages[inode] = UNKNOWN;
	else
		note(r, inode, fd, n->size);
}

/* ---- while walking ---- */

/* In the walk: where a file is not as it was, its content is not known any more, and it is asked later. */
static int look(void *arg, int dirfd, const char *name, uint32_t inode, struct vu_stat *ret)
{
	struct vu_resident *r = arg;

	if (inode >= r->n || r->pages[inode] != FOR_THE_WALK)
		return vu_stat_at(dirfd, name, ret);
	_cleanup_fd_ int pin = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (pin < 0)
		return vu_stat_at(dirfd, name, ret);
	int e = vu_stat_fd(pin, ret);
	const struct vu_inode *n = vu_tree_inode(r->tree, inode);

	if (!e && is_recorded(r, n, ret) && ret->version.mtime_ns == n->mtime_ns &&
	    ret->version.ctime_ns == n->ctime_ns)
		ask_pinned(r, inode, pin, ret);
	return e;
}

static bool has_one_name(const struct vu_tree *t, const struct vu_inode *n)
{
	return n->first_name != VU_NONE && vu_tree_name(t, n->first_name)->next == VU_NONE;
}

int vu_resident_ahead(struct vu_resident *r, struct vu_session *s, struct vu_farm *f)
{
	struct rlimit lim = {0};
	int e = init(r, s, f);

	if (e || getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur < ENOUGH_FDS)
		return e;
	for (uint32_t i = 0; i < r->n; i++) {
		const struct vu_inode *n = vu_tree_inode(r->tree, i);

		if (!(n->flags & VU_INODE_OBJECT) && n->content != VU_NONE &&
		    n->skip == VU_SKIP_NONE && has_one_name(r->tree, n))
			r->pages[i] = FOR_THE_WALK;
	}
	f->walk.look = look;
	f->walk.look_arg = r;
	return 0;
}

int vu_resident_begin(struct vu_resident *r, struct vu_session *s, struct vu_farm *f,
		      struct vu_content_env *env)
{
	env->on_open = on_open;
	env->on_open_arg = r;
	return init(r, s, f);
}

/* ---- what was neither walked nor read ---- */

struct asking {
	struct vu_resident *r;
	const uint32_t *inode; /* in the order of their directories */
	uint32_t n;
	_Atomic uint32_t next;
};

/* The directory of the file that was asked last: the next one is often in the same. */
struct place {
	uint32_t dir;
	int fd;
};

static int directory(const struct vu_resident *r, const struct vu_inode *n, struct place *p)
{
	uint32_t dir = vu_tree_name(r->tree, n->first_name)->dir;

	if (p->dir == dir && p->fd >= 0)
		return p->fd;
	vu_close_p(&p->fd);
	p->dir = dir;
	p->fd = vu_treeopen_dir(r->tree, r->session->root_fds[n->guest], dir, O_PATH);
	return p->fd;
}

static void ask_private(struct vu_resident *r, uint32_t inode, struct place *p)
{
	const struct vu_inode *n = vu_tree_inode(r->tree, inode);
	const char *name = vu_tree_text(r->tree, vu_tree_name(r->tree, n->first_name)->name);
	int dir = directory(r, n, p);
	_cleanup_fd_ int pin = dir < 0 ? dir : openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct vu_stat st;

	if (pin < 0 || vu_stat_fd(pin, &st))
		r->pages[inode] = UNKNOWN;
	else
		ask_pinned(r, inode, pin, &st);
}

static void ask_object(struct vu_resident *r, uint32_t inode)
{
	const struct vu_inode *n = vu_tree_inode(r->tree, inode);
	_cleanup_fd_ int fd =
		vu_pool_object_open(r->session->fs[n->fs].pool, vu_tree_key(r->tree, n->key));

	if (fd < 0)
		r->pages[inode] = UNKNOWN;
	else
		note(r, inode, fd, n->size);
}

static int ask_some(void *arg, unsigned i)
{
	struct asking *a = arg;
	struct place p = {VU_NONE, -EBADF};

	(void)i;
	while (!vu_stop_requested()) {
		uint32_t first = atomic_fetch_add(&a->next, AT_ONCE);

		for (uint32_t k = first; k < a->n && k < first + AT_ONCE; k++)
			if (vu_tree_inode(a->r->tree, a->inode[k])->flags & VU_INODE_OBJECT)
				ask_object(a->r, a->inode[k]);
			else
				ask_private(a->r, a->inode[k], &p);
		if (first >= a->n)
			break;
	}
	vu_close_p(&p.fd);
	return vu_stop_requested() ? -ECANCELED : 0;
}

static uint32_t dir_of(const struct vu_tree *t, uint32_t inode)
{
	uint32_t name = vu_tree_inode(t, inode)->first_name;

	return name == VU_NONE ? VU_NONE : vu_tree_name(t, name)->dir;
}

static int by_dir(const void *x, const void *y, void *arg)
{
	uint32_t a = dir_of(arg, *(const uint32_t *)x), b = dir_of(arg, *(const uint32_t *)y);

	return (a > b) - (a < b);
}

int vu_resident_ask(struct vu_resident *r, uint32_t *inodes, uint32_t n)
{
	struct asking a = {.r = r, .inode = inodes};

	for (uint32_t i = 0; i < n; i++)
		if (inodes[i] < r->n && !r->pages[inodes[i]])
			inodes[a.n++] = inodes[i];
	if (!a.n)
		return 0;
	qsort_r(inodes, a.n, sizeof(*inodes), by_dir, r->tree);
	return vu_crew_run(r->jobs, ask_some, &a);
}

bool vu_resident_pages(const struct vu_resident *r, uint32_t inode, uint64_t *ret_pages)
{
	uint32_t pages = inode < r->n ? r->pages[inode] : UNKNOWN;

	if (!pages || pages == UNKNOWN)
		return false;
	*ret_pages = pages - 1;
	return true;
}
