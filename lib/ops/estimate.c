/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of the copies that become one, with r(i) pages each in memory: in the end there is one, which has at least as many as
 * the fullest of them, and sum - max are free. (At least: pages that only others had count twice. In what was measured,
 * copies that are used alike have the same pages.) At once those of the copies that go and that nobody holds.
 */
#include "ops/estimate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "base/stop.h"
#include "base/watched.h"
#include "fs/pagecache.h"
#include "fs/stat.h"
#include "scan/treeopen.h"

#define IDLE_MAX_MS 2000
#define UNKNOWN UINT32_MAX
#define AT_ONCE 256 /* files that a thread takes */

void vu_estimate_done(struct vu_estimate *e)
{
	free(e->pages);
	free(e->fs);
	vu_inuse_free(e->users);
	vu_guest_roots_done(&e->roots);
	vu_estimate_report_done(&e->report);
	*e = (struct vu_estimate){0};
}

/* What is resident of an inode; once is enough: later it is that of reading it. Any thread, one for an inode. */
static void note(void *arg, uint32_t inode, int fd)
{
	struct vu_estimate *e = arg;
	const struct vu_inode *n = vu_tree_inode(e->tree, inode);
	/* there cachestat knows of the upper mapping only, which is empty */
	bool overlay = !strcmp(e->session->fs[n->fs].mount.type, "overlay");
	uint64_t pages;

	if (inode >= e->n || e->pages[inode])
		return;
	if (vu_pagecache_resident(fd, n->size, overlay, &pages))
		e->pages[inode] = UNKNOWN;
	else
		e->pages[inode] = (uint32_t)VU_MIN(pages, UNKNOWN - 2) + 1;
}

int vu_estimate_begin(struct vu_estimate *e, struct vu_session *s, const struct vu_farm *f,
		      struct vu_content_env *env)
{
	vu_estimate_done(e);
	*e = (struct vu_estimate){
		.session = s,
		.tree = f->tree,
		.n = f->tree->inodes.n,
		.pages = calloc((size_t)f->tree->inodes.n + 1, sizeof(*e->pages)),
		.jobs = vu_farm_jobs(s->ops->config),
	};
	env->on_open = note;
	env->on_open_arg = e;
	return e->pages ? 0 : -ENOMEM;
}

/* ---- what was not read ---- */

struct asking {
	struct vu_estimate *e;
	uint32_t *inode; /* owned; in the order of their directories */
	uint32_t n, cap;
	int self_fd;
	_Atomic uint32_t next;
};

/* The directory of the file that was asked last: the next one is often in the same. */
struct place {
	uint32_t dir;
	int fd;
};

static int directory(const struct asking *a, const struct vu_inode *n, struct place *p)
{
	uint32_t dir = vu_tree_name(a->e->tree, n->first_name)->dir;

	if (p->dir == dir && p->fd >= 0)
		return p->fd;
	vu_close_p(&p->fd);
	p->dir = dir;
	p->fd = vu_treeopen_dir(a->e->tree, a->e->session->root_fds[n->guest], dir, O_PATH);
	return p->fd;
}

/* Opens a private file for reading, if it is what the walk saw. */
static int open_private(const struct asking *a, const struct vu_inode *n, struct place *p)
{
	int dir = directory(a, n, p);
	const char *name = vu_tree_text(a->e->tree, vu_tree_name(a->e->tree, n->first_name)->name);
	_cleanup_fd_ int pin = dir < 0 ? dir : openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char number[12];
	struct vu_stat st;

	if (pin < 0 || vu_stat_fd(pin, &st) || st.version.ino != n->ino ||
	    st.version.size != n->size)
		return -ESTALE;
	snprintf(number, sizeof(number), "%d", pin);
	return openat(a->self_fd, number, O_RDONLY | O_NOATIME | O_NONBLOCK | O_CLOEXEC);
}

static void ask(const struct asking *a, uint32_t inode, struct place *p)
{
	const struct vu_inode *n = vu_tree_inode(a->e->tree, inode);
	_cleanup_fd_ int fd = n->flags & VU_INODE_OBJECT
				      ? vu_pool_object_open(a->e->session->fs[n->fs].pool,
							    vu_tree_key(a->e->tree, n->key))
				      : open_private(a, n, p);

	if (fd < 0)
		a->e->pages[inode] = UNKNOWN;
	else
		note(a->e, inode, fd);
}

static int ask_some(void *arg, unsigned i)
{
	struct asking *a = arg;
	struct place p = {VU_NONE, -EBADF};

	(void)i;
	while (!vu_stop_requested()) {
		uint32_t first = atomic_fetch_add(&a->next, AT_ONCE);

		for (uint32_t k = first; k < a->n && k < first + AT_ONCE; k++)
			ask(a, a->inode[k], &p);
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

static void want(struct asking *a, uint32_t inode)
{
	if (inode < a->e->n && !a->e->pages[inode])
		a->inode[a->n++] = inode;
}

/* What the plan concerns, and what nobody has asked about: its content was known. */
static int ask_the_rest(struct vu_estimate *e, const struct vu_plan *plan)
{
	_cleanup_free_ uint32_t *inodes =
		calloc((size_t)plan->n_objects + plan->n_targets + 1, sizeof(*inodes));
	_cleanup_fd_ int self_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct asking a = {.e = e, .inode = inodes, .self_fd = self_fd};

	if (!inodes)
		return -ENOMEM;
	if (self_fd < 0)
		return -errno;
	for (uint32_t i = 0; i < plan->n_objects; i++)
		want(&a, plan->objects[i].keeper);
	for (uint32_t i = 0; i < plan->n_targets; i++)
		want(&a, plan->targets[i]);
	qsort_r(a.inode, a.n, sizeof(*a.inode), by_dir, e->tree);
	return vu_crew_run(e->jobs, ask_some, &a);
}

/* ---- who uses what ---- */

struct using
{
	struct vu_guest_roots *roots;
	struct vu_inuse *u;
};

static int add_process(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct using *us = arg;

	(void)pid;
	vu_inuse_begin(us->u, root);
	return us->roots->unread[root] ? 0 : vu_inuse_add(us->u, task_fd);
}

static int add_all(void *arg)
{
	struct using *us = arg;

	return vu_procs_each(us->roots->v, us->roots->n, add_process, us);
}

static int find_users(struct vu_estimate *e)
{
	struct vu_guest_roots *roots = &e->roots;
	struct using us = {roots, e->users};
	int r = vu_guest_roots_of(e->session, 1, roots);

	if (!r)
		r = vu_guest_roots_add_host(roots);
	while (!r && (r = vu_watched_run(vu_inuse_progress(e->users), IDLE_MAX_MS, add_all, &us)) ==
			     VU_WATCHED_STUCK) {
		size_t guest = vu_inuse_guest_at_hand(e->users);

		if (guest >= roots->n || roots->unread[guest])
			return -EIO;
		roots->unread[guest] = true;
		vu_inuse_clear(e->users);
		r = 0;
	}
	return r;
}

/* Once. */
static int know_users(struct vu_estimate *e)
{
	const struct vu_session *s = e->session;

	if (e->users)
		return 0;
	e->fs = calloc(s->n_fs + 1, sizeof(*e->fs));
	for (size_t i = 0; e->fs && i < s->n_fs; i++)
		e->fs[i] = (struct vu_replaced_fs){s->fs[i].mount.dev, s->fs[i].mount.super_dev};
	e->users = e->fs ? vu_inuse_new(e->fs, s->n_fs) : NULL;
	return e->users ? find_users(e) : -ENOMEM;
}

/* A guest of which nothing is known may use everything of its. */
static bool is_used(const struct vu_estimate *e, const struct vu_inode *n)
{
	return e->roots.unread[n->guest] ||
	       vu_inuse_has(e->users, e->session->fs[n->fs].mount.dev, n->ino);
}

/* ---- what need not be read ---- */

/* The walk forgets the content of a file that is not as it was. */
static bool is_known(const struct vu_inode *n)
{
	return !(n->flags & VU_INODE_OBJECT) && n->content != VU_NONE;
}

int vu_estimate_believe(struct vu_estimate *e)
{
	uint32_t i = 0;

	while (i < e->n && !is_known(vu_tree_inode(e->tree, i)))
		i++;
	int r = i < e->n ? know_users(e) : 0;

	for (; !r && i < e->n; i++) {
		struct vu_inode *n = vu_tree_inode(e->tree, i);

		if (is_known(n) && !is_used(e, n))
			n->flags |= VU_INODE_BELIEVED;
	}
	return r;
}

/* ---- sums ---- */

struct summing {
	struct vu_estimate *e;
	struct vu_estimate_report *ret;
	uint64_t page;
};

static uint64_t resident(const struct summing *s, uint32_t inode)
{
	uint32_t pages = inode < s->e->n ? s->e->pages[inode] : UNKNOWN;

	if (!pages || pages == UNKNOWN) {
		s->ret->unknown++;
		return 0;
	}
	return (uint64_t)(pages - 1) * s->page;
}

static void add_copy(struct summing *s, uint32_t inode, bool goes, struct vu_estimate_sum *group,
		     uint64_t *max)
{
	const struct vu_inode *n = vu_tree_inode(s->e->tree, inode);
	bool private = !(n->flags & VU_INODE_OBJECT);
	struct vu_estimate_sum *g = private ? &s->ret->guests[n->guest] : NULL;
	uint64_t bytes = resident(s, inode), now = goes && !is_used(s->e, n) ? bytes : 0;
	uint64_t all = VU_MIN(bytes, *max); /* so that they add up to sum - max */

	*max = VU_MAX(*max, bytes);
	group->resident += bytes;
	group->now += now;
	group->all += all;
	if (!g)
		return;
	g->resident += bytes;
	g->now += now;
	g->all += all;
}

/* Keeps the largest, in order. */
static int keep_group(struct summing *s, const struct vu_plan_object *p, uint32_t inode,
		      const struct vu_estimate_sum *sum)
{
	struct vu_estimate_report *r = s->ret;
	const struct vu_inode *n = vu_tree_inode(s->e->tree, inode);
	size_t i = r->n_groups;

	while (i > 0 && r->group[i - 1].sum.all < sum->all)
		i--;
	if (!sum->all || i == VU_ESTIMATE_GROUPS)
		return 0;
	struct vu_estimate_group g = {
		.guest = strdup(s->e->session->guests.v[n->guest].name),
		.path = vu_tree_name_path(s->e->tree, n->first_name),
		.copies = p->n + 1,
		.sum = *sum,
	};

	if (r->n_groups == VU_ESTIMATE_GROUPS) {
		r->n_groups--;
		free(r->group[r->n_groups].guest);
		free(r->group[r->n_groups].path);
	}
	memmove(&r->group[i + 1], &r->group[i], (r->n_groups - i) * sizeof(g));
	r->group[i] = g;
	r->n_groups++;
	return g.guest && g.path ? 0 : -ENOMEM;
}

static int add_object(struct summing *s, const struct vu_plan *plan, const struct vu_plan_object *p)
{
	struct vu_estimate_sum sum = {0};
	uint64_t max = 0;

	if (!p->n)
		return 0;
	add_copy(s, p->keeper, false, &sum, &max);
	for (uint32_t k = 0; k < p->n; k++)
		add_copy(s, plan->targets[p->first + k], true, &sum, &max);
	s->ret->total.resident += sum.resident;
	s->ret->total.now += sum.now;
	s->ret->total.all += sum.all;
	return keep_group(s, p, p->keeper_is_object ? plan->targets[p->first] : p->keeper, &sum);
}

int vu_estimate_sum(struct vu_estimate *e, const struct vu_plan *plan)
{
	struct vu_estimate_report *ret = &e->report;
	struct summing s = {e, ret, (uint64_t)sysconf(_SC_PAGESIZE)};
	int r = ask_the_rest(e, plan);

	if (!r)
		r = know_users(e);
	ret->guests = calloc(e->session->guests.n + 1, sizeof(*ret->guests));
	if (!r && !ret->guests)
		r = -ENOMEM;
	for (uint32_t i = 0; !r && i < plan->n_objects; i++)
		r = add_object(&s, plan, &plan->objects[i]);
	return r;
}

void vu_estimate_take(struct vu_estimate *e, struct vu_estimate_report *ret)
{
	*ret = e->report;
	e->report = (struct vu_estimate_report){0};
}

void vu_estimate_report_done(struct vu_estimate_report *r)
{
	for (size_t i = 0; i < r->n_groups; i++) {
		free(r->group[i].guest);
		free(r->group[i].path);
	}
	free(r->guests);
	*r = (struct vu_estimate_report){0};
}
