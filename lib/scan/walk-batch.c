/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scan/walk-batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int vu_walk_batch_init(struct vu_walk_batch *b, const struct vu_walk_env *env, struct vu_tree *t)
{
	*b = (struct vu_walk_batch){.env = env, .t = t};
	b->items = calloc(VU_BATCH_ITEMS, sizeof(*b->items));
	return b->items ? 0 : -ENOMEM;
}

void vu_walk_batch_done(struct vu_walk_batch *b)
{
	free(b->items);
	free(b->known);
}

void vu_walk_batch_begin(struct vu_walk_batch *b, uint32_t dir, struct vu_visit_root *root)
{
	b->dir = dir;
	b->d = vu_tree_dir(b->t, dir);
	b->root = root;
	b->guest = &b->env->guests[b->d->guest];
	b->n_items = b->n_known = 0;
}

/* ---- entering a batch into the tree, under its lock ---- */

static bool same_version(const struct vu_walk_batch *b, const struct vu_inode *n,
			 const struct vu_item *it)
{
	const struct vu_attr *have, *seen;

	if (n->ino != it->ino || n->size != it->size || n->mtime_ns != it->mtime_ns ||
	    n->ctime_ns != it->ctime_ns || n->n_links != it->n_links || n->attr == VU_NONE)
		return false;
	have = vu_attrs_at(b->t->attrs, n->attr);
	seen = vu_attrs_at(b->t->attrs, it->attr);
	return have->mode == seen->mode && have->uid == seen->uid && have->gid == seen->gid;
}

/* Is the recorded reason one that this look cannot find again, and nothing has changed? */
static bool still_holds(const struct vu_walk_batch *b, const struct vu_inode *n,
			const struct vu_item *it)
{
	enum vu_skip s = n->skip;

	return n->fate == VU_KEPT && !it->skip && !b->env->full &&
	       (vu_skip_is_momentary(s) || vu_skip_is_relative(s) || s == VU_SKIP_LIMIT);
}

/* Brings the record of an inode up to date by what was seen under one of its names. */
static void inode_update(struct vu_walk_batch *b, struct vu_inode *n, const struct vu_item *it)
{
	bool first = n->fate == VU_UNSEEN;

	if (!same_version(b, n, it)) {
		n->ino = it->ino;
		n->size = it->size;
		n->mtime_ns = it->mtime_ns;
		n->ctime_ns = it->ctime_ns;
		n->n_links = it->n_links;
		n->attr = it->attr;
		n->content = VU_NONE;
		n->fate = n->fate == VU_NEW ? VU_NEW : VU_CHANGED;
	} else if (first) {
		n->fate = VU_KEPT;
	}
	if (first ? !still_holds(b, n, it) : n->skip == VU_SKIP_NONE)
		n->skip = it->skip;
	if (n->skip == VU_SKIP_NONE && vu_attrs_at(b->t->attrs, n->attr)->has_caps &&
	    !b->env->unify_setid)
		n->skip = VU_SKIP_CAPABILITY;
}

static int inode_new(struct vu_walk_batch *b, const struct vu_item *it, uint32_t *ret_inode)
{
	int r = vu_tree_inode_add(b->t, ret_inode);

	if (r)
		return r;
	struct vu_inode *n = vu_tree_inode(b->t, *ret_inode);

	n->guest = b->d->guest;
	n->fs = b->guest->fs;
	n->fate = VU_NEW;
	inode_update(b, n, it);
	return 0;
}

/* The record of an inode that was seen: the one of its other names, else old, else a new one. */
static int inode_for(struct vu_walk_batch *b, const struct vu_item *it, uint32_t old,
		     uint32_t *ret_inode)
{
	uint32_t i = old;
	int r = 0;
	bool linked = it->n_links > 1 && vu_inomap_get(&b->root->links, it->ino, &i);

	if (i != VU_NONE && vu_tree_inode(b->t, i)->ino == it->ino)
		inode_update(b, vu_tree_inode(b->t, i), it);
	else
		r = inode_new(b, it, &i);
	if (!r && it->n_links > 1 && !linked)
		r = vu_inomap_set(&b->root->links, it->ino, i);
	*ret_inode = i;
	return r;
}

static int enter_private(struct vu_walk_batch *b, const struct vu_item *it)
{
	uint32_t inode, name = it->record;
	int r = inode_for(b, it, name == VU_NONE ? VU_NONE : vu_tree_name(b->t, name)->inode,
			  &inode);

	if (r)
		return r;
	if (name == VU_NONE) {
		r = vu_tree_name_add(b->t, b->dir, it->name, inode, &name);
		if (!r)
			vu_tree_name(b->t, name)->fate = VU_NEW;
		return r;
	}
	struct vu_name *n = vu_tree_name(b->t, name);

	if (n->inode != inode) {
		n->inode = inode;
		n->fate = VU_CHANGED;
	} else if (n->fate == VU_UNSEEN) {
		n->fate = VU_KEPT;
	}
	return 0;
}

static int enter_dir(struct vu_walk_batch *b, const struct vu_item *it)
{
	uint32_t i;

	b->d->n_dirs++;
	if (it->record != VU_NONE)
		return 0;
	int r = vu_tree_dir_add(b->t, b->dir, b->d->guest, it->name, &i);

	if (r)
		return r;
	vu_tree_dir(b->t, i)->fate = VU_NEW;
	vu_tree_dir(b->t, i)->flags = VU_DIR_FAILED; /* until it is visited */
	return 0;
}

static int enter(struct vu_walk_batch *b, const struct vu_item *it)
{
	switch (it->kind) {
	case VU_ITEM_DIR:
		return enter_dir(b, it);
	case VU_ITEM_PRIVATE:
		return enter_private(b, it);
	default:
		b->d->n_unified++;
		return vu_tree_unified_add(b->t, b->dir, it->name, it->ino);
	}
}

void vu_walk_batch_count(struct vu_walk_batch *b, uint64_t n)
{
	atomic_fetch_add_explicit(&b->root->n_names, n, memory_order_relaxed);
	if (b->env->progress)
		vu_progress_add(b->env->progress, n, 0);
}

int vu_walk_batch_flush(struct vu_walk_batch *b)
{
	int r = 0;

	if (!b->n_items)
		return 0;
	pthread_mutex_lock(&b->t->lock);
	for (size_t i = 0; !r && i < b->n_items; i++)
		r = enter(b, &b->items[i]);
	pthread_mutex_unlock(&b->t->lock);
	vu_walk_batch_count(b, b->n_items);
	b->n_items = 0;
	return r;
}

int vu_walk_batch_add(struct vu_walk_batch *b, const struct vu_item *it)
{
	b->items[b->n_items++] = *it;
	return b->n_items == VU_BATCH_ITEMS ? vu_walk_batch_flush(b) : 0;
}

/* ---- what is recorded of a directory that is listed ---- */

static int by_name(const void *a, const void *b)
{
	const struct vu_known *x = a, *y = b;

	return x->is_dir != y->is_dir ? (int)x->is_dir - (int)y->is_dir : strcmp(x->name, y->name);
}

static int known_add(struct vu_walk_batch *b, const char *name, uint32_t record, bool is_dir)
{
	if (b->n_known == b->cap_known) {
		size_t cap = b->cap_known ? b->cap_known * 2 : 64;
		struct vu_known *k = reallocarray(b->known, cap, sizeof(*k));

		if (!k)
			return -ENOMEM;
		b->known = k;
		b->cap_known = cap;
	}
	b->known[b->n_known++] =
		(struct vu_known){.name = name, .record = record, .is_dir = is_dir};
	return 0;
}

int vu_walk_batch_known_load(struct vu_walk_batch *b)
{
	struct vu_tree *t = b->t;
	int r = 0;

	b->n_known = 0;
	for (uint32_t i = b->d->first_name; !r && i != VU_NONE; i = vu_tree_name(t, i)->sibling)
		r = known_add(b, vu_tree_text(t, vu_tree_name(t, i)->name), i, false);
	for (uint32_t i = b->d->first_child; !r && i != VU_NONE; i = vu_tree_dir(t, i)->sibling)
		r = known_add(b, vu_tree_text(t, vu_tree_dir(t, i)->name), i, true);
	if (!r && b->n_known > 1)
		qsort(b->known, b->n_known, sizeof(*b->known), by_name);
	return r;
}

/* The record of a name that was met, or VU_NONE. */
uint32_t vu_walk_batch_known_meet(struct vu_walk_batch *b, const char *name, bool is_dir)
{
	struct vu_known key = {.name = name, .is_dir = is_dir}, *k;

	if (!b->n_known)
		return VU_NONE;
	k = bsearch(&key, b->known, b->n_known, sizeof(*k), by_name);
	if (!k)
		return VU_NONE;
	k->met = true;
	return k->record;
}

void vu_walk_batch_known_drop(struct vu_walk_batch *b)
{
	for (size_t i = 0; i < b->n_known; i++) {
		const struct vu_known *k = &b->known[i];

		if (!k->met && k->is_dir)
			vu_tree_dir(b->t, k->record)->fate = VU_GONE;
		else if (!k->met)
			vu_tree_name(b->t, k->record)->fate = VU_GONE;
	}
}
