/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of the copies that become one, with r(i) pages each in memory: in the end there is one, which has at least as many as
 * the fullest of them, and sum - max are free. (At least: pages that only others had count twice. In what was measured,
 * copies that are used alike have the same pages.) At once those of the copies that go and that nobody holds.
 */
#include "ops/estimate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/watched.h"

#define IDLE_MAX_MS 2000

void vu_estimate_done(struct vu_estimate *e)
{
	vu_resident_done(&e->resident);
	free(e->fs);
	vu_inuse_free(e->users);
	vu_guest_roots_done(&e->roots);
	vu_estimate_report_done(&e->report);
	*e = (struct vu_estimate){0};
}

int vu_estimate_ahead(struct vu_estimate *e, struct vu_session *s, struct vu_farm *f)
{
	e->session = s;
	e->tree = f->tree;
	return vu_resident_ahead(&e->resident, s, f);
}

int vu_estimate_begin(struct vu_estimate *e, struct vu_session *s, struct vu_farm *f,
		      struct vu_content_env *env)
{
	e->session = s;
	e->tree = f->tree;
	return vu_resident_begin(&e->resident, s, f, env);
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
	uint32_t i = 0, n_inodes = e->tree->inodes.n;

	while (i < n_inodes && !is_known(vu_tree_inode(e->tree, i)))
		i++;
	int r = i < n_inodes ? know_users(e) : 0;

	for (; !r && i < n_inodes; i++) {
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
	uint64_t pages = 0;

	if (!vu_resident_pages(&s->e->resident, inode, &pages))
		s->ret->unknown++;
	return pages * s->page;
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

/* What the plan concerns, as far as nobody has asked about it. */
static int ask_the_rest(struct vu_estimate *e, const struct vu_plan *plan)
{
	uint32_t n = 0;
	_cleanup_free_ uint32_t *inodes =
		calloc((size_t)plan->n_objects + plan->n_targets + 1, sizeof(*inodes));

	if (!inodes)
		return -ENOMEM;
	for (uint32_t i = 0; i < plan->n_objects; i++)
		inodes[n++] = plan->objects[i].keeper;
	for (uint32_t i = 0; i < plan->n_targets; i++)
		inodes[n++] = plan->targets[i];
	return vu_resident_ask(&e->resident, inodes, n);
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
