/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest's hard links must be, for an inode of it to follow:
 *
 *   - all of its names follow, and to one inode of the template (the template may have split what were
 *     hard links of one file: then the guest's are left, for they would come apart);
 *   - no other inode of the guest follows to the same one: they were two files, and would be one;
 *   - the guest has no name of that object already, but where the template has it, too. (A run that was
 *     killed between two names of one inode leaves such, where recovery did not know the guest: the rest follows.)
 */
#include "ops/propagate-group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define MAX_LINKS 64000 /* as a scan's */

/* A name of an object, in a guest. */
struct use {
	uint32_t inode; /* number in the tree */
	uint32_t name;	/* number in t->unified */
	uint16_t guest;
};

struct grouping {
	struct vu_finds *f;
	struct vu_follow_groups *g;
	struct use *uses; /* owned; by guest, then inode */
	size_t n_uses;
};

static struct vu_find *find_at(const struct grouping *x, uint32_t i)
{
	return &x->f->v[x->g->finds[i]];
}

static const struct vu_change *change_of(const struct grouping *x, const struct vu_find *find)
{
	return &x->f->changes[find->change];
}

static void refuse(const struct grouping *x, const struct vu_follow_group *g, enum vu_follow why,
		   enum vu_skip skip)
{
	for (uint32_t i = 0; i < g->n; i++) {
		struct vu_find *find = find_at(x, g->first + i);

		if (find->why != VU_FOLLOW_YES)
			continue;
		find->why = (uint8_t)why;
		find->skip = (uint8_t)skip;
	}
}

static bool is_refused(const struct grouping *x, const struct vu_follow_group *g)
{
	return find_at(x, g->first)->why != VU_FOLLOW_YES;
}

/* ---- names of objects ---- */

static int by_use(const void *a, const void *b)
{
	const struct use *x = a, *y = b;

	if (x->guest != y->guest)
		return x->guest < y->guest ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return (x->name > y->name) - (x->name < y->name);
}

/* The objects that it is about: what follows, and what it follows to. */
static bool *mark_objects(const struct grouping *x)
{
	bool *v = calloc((size_t)x->f->farm.tree->inodes.n + 1, sizeof(*v));

	for (size_t i = 0; v && i < x->f->n; i++) {
		const struct vu_find *find = &x->f->v[i];

		if (find->why == VU_FOLLOW_YES && !find->is_doubt)
			v[find->inode] = v[change_of(x, find)->inode] = true;
	}
	return v;
}

static int find_uses(struct grouping *x)
{
	const struct vu_tree *t = x->f->farm.tree;
	const struct vu_session *s = x->f->session;
	_cleanup_free_ bool *marked = mark_objects(x);

	x->uses = calloc((size_t)t->unified.n + 1, sizeof(*x->uses));
	if (!marked || !x->uses)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->unified.n; i++) {
		const struct vu_unified_name *name = vu_tree_unified(t, i);
		uint16_t guest = vu_tree_dir(t, name->dir)->guest;
		uint32_t object;

		if (vu_inomap_get(&x->f->farm.objects[s->guest_fs[guest]], name->ino, &object) &&
		    marked[object])
			x->uses[x->n_uses++] =
				(struct use){.inode = object, .name = i, .guest = guest};
	}
	qsort(x->uses, x->n_uses, sizeof(*x->uses), by_use);
	return 0;
}

/* The names that a guest has of an object: the first, and *ret_n how many. */
static const struct use *uses_of(const struct grouping *x, uint16_t guest, uint32_t inode,
				 size_t *ret_n)
{
	struct use key = {.guest = guest, .inode = inode};
	size_t lo = 0, hi = x->n_uses, n = 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_use(&x->uses[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	while (lo + n < x->n_uses && x->uses[lo + n].guest == guest &&
	       x->uses[lo + n].inode == inode)
		n++;
	*ret_n = n;
	return &x->uses[lo];
}

/* ---- groups ---- */

static int by_inode(const void *a, const void *b, void *arg)
{
	const struct vu_finds *f = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const struct vu_find *x = &f->v[i], *y = &f->v[k];

	if (x->guest != y->guest)
		return x->guest < y->guest ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return (i > k) - (i < k);
}

static int collect(struct grouping *x)
{
	struct vu_finds *f = x->f;
	struct vu_follow_groups *g = x->g;
	uint32_t n = 0;

	g->finds = calloc(f->n + 1, sizeof(*g->finds));
	g->v = calloc(f->n + 1, sizeof(*g->v));
	if (!g->finds || !g->v)
		return -ENOMEM;
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].why == VU_FOLLOW_YES && !f->v[i].is_doubt)
			g->finds[n++] = (uint32_t)i;
	qsort_r(g->finds, n, sizeof(*g->finds), by_inode, f);
	for (uint32_t i = 0, to; i < n; i = to) {
		const struct vu_find *find = find_at(x, i);

		for (to = i + 1; to < n && find_at(x, to)->guest == find->guest &&
				 find_at(x, to)->inode == find->inode;
		     to++)
			;
		g->v[g->n++] = (struct vu_follow_group){
			.first = i,
			.n = to - i,
			.inode = find->inode,
			.lead = change_of(x, find)->inode,
			.guest = find->guest,
			.template = change_of(x, find)->template,
		};
	}
	return 0;
}

/* Do all names of the inode follow, and to one? */
static bool is_whole(const struct grouping *x, const struct vu_follow_group *g)
{
	const struct vu_tree *t = x->f->farm.tree;
	const struct vu_inode *n = vu_tree_inode(t, g->inode);
	size_t names;

	for (uint32_t i = 0; i < g->n; i++)
		if (change_of(x, find_at(x, g->first + i))->inode != g->lead)
			return false;
	if (n->flags & VU_INODE_OBJECT) {
		uses_of(x, g->guest, g->inode, &names);
		return names == g->n;
	}
	return vu_tree_count_names(t, n) == g->n && n->n_links == g->n;
}

/* Has the template this path of the guest as a name of the same object? */
static bool is_templates_name(const struct grouping *x, const struct vu_follow_group *g,
			      const struct use *use)
{
	const struct vu_tree *t = x->f->farm.tree;
	_cleanup_free_ char *path = vu_tree_unified_path(t, vu_tree_unified(t, use->name));
	size_t n;
	const struct use *own = uses_of(x, g->template, g->lead, &n);
	bool is = false;

	for (size_t i = 0; path && !is && i < n; i++) {
		_cleanup_free_ char *p = vu_tree_unified_path(t, vu_tree_unified(t, own[i].name));

		is = p && !strcmp(p, path);
	}
	return is;
}

/* Has the guest no name of the lead that is another file's? */
static bool is_free(const struct grouping *x, const struct vu_follow_group *g)
{
	size_t n;
	const struct use *uses = uses_of(x, g->guest, g->lead, &n);

	for (size_t i = 0; i < n; i++)
		if (!is_templates_name(x, g, &uses[i]))
			return false;
	return true;
}

static int by_lead(const void *a, const void *b)
{
	const struct vu_follow_group *x = a, *y = b;

	if (x->lead != y->lead)
		return x->lead < y->lead ? -1 : 1;
	return (x->guest > y->guest) - (x->guest < y->guest);
}

/* Those of one lead, v[from .. to-1]. */
static void settle_lead(const struct grouping *x, size_t from, size_t to)
{
	const struct vu_inode *lead = vu_tree_inode(x->f->farm.tree, x->g->v[from].lead);
	uint64_t links = lead->n_links + (lead->flags & VU_INODE_OBJECT ? 0U : 1U);

	for (size_t i = from; i < to; i++) {
		const struct vu_follow_group *g = &x->g->v[i];
		bool twice = (i > from && g[-1].guest == g->guest) ||
			     (i + 1 < to && g[1].guest == g->guest);

		if (twice || !is_whole(x, g))
			refuse(x, g, VU_FOLLOW_LINKS, VU_SKIP_NONE);
		else if (!is_free(x, g))
			refuse(x, g, VU_FOLLOW_SKIP, VU_SKIP_SAME_GUEST);
		else if (links + g->n > MAX_LINKS)
			refuse(x, g, VU_FOLLOW_SKIP, VU_SKIP_LINK_LIMIT);
		else
			links += g->n;
	}
}

static void settle(struct grouping *x)
{
	struct vu_follow_groups *g = x->g;
	size_t kept = 0;

	qsort(g->v, g->n, sizeof(*g->v), by_lead);
	for (size_t i = 0, to; i < g->n; i = to) {
		for (to = i + 1; to < g->n && g->v[to].lead == g->v[i].lead; to++)
			;
		settle_lead(x, i, to);
	}
	for (size_t i = 0; i < g->n; i++)
		if (!is_refused(x, &g->v[i]))
			g->v[kept++] = g->v[i];
	g->n = kept;
}

int vu_follow_groups_make(struct vu_finds *f, struct vu_follow_groups *ret)
{
	struct grouping x = {.f = f, .g = ret};

	*ret = (struct vu_follow_groups){0};
	if (!f->n) /* then there may be no tree */
		return 0;
	int r = find_uses(&x);

	if (!r)
		r = collect(&x);
	if (!r)
		settle(&x);
	free(x.uses);
	return r;
}

void vu_follow_groups_done(struct vu_follow_groups *g)
{
	free(g->finds);
	free(g->v);
	*g = (struct vu_follow_groups){0};
}
