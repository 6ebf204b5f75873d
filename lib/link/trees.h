/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trees that are on their way: guests that are being made, before they get their name, and guests that are
 * being removed, after they lost it. They lie in `.vunify/trees`, which is root's alone and on the guests'
 * mount, so they can hold names of objects, come and go by one rename, and nobody can plant one.
 * Whatever is in there belongs to a run that is at work or was cut short: recovery removes it. Called by
 * the coordinating thread with the pool's lock held.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "link/pool.h"
#include "link/rmtree.h"

#define VU_TREE_NAME_MAX 32

enum vu_tree_kind {
	VU_TREE_MADE,	 /* its content is ours alone: nothing of it is ever missed */
	VU_TREE_REMOVED, /* a guest whose removal was asked for */
};

/*
 * The name of the place for a tree: of one that is made a random one, of a guest that is removed that of
 * its root's inode, by which it is found again.
 */
int vu_trees_name(enum vu_tree_kind kind, uint64_t root_ino, char name[VU_TREE_NAME_MAX]);

/*
 * Makes the place, an empty directory. The caller owns the fd (O_RDONLY). Returns it, or a negative errno, and there
 * is nothing of it.
 */
int vu_trees_make(const struct vu_pool *p, const char *name);

/* Opens the place that is there. Returns the fd, -ENOENT, or another negative errno. */
int vu_trees_open(const struct vu_pool *p, const char *name);

/*
 * Removes the tree in this place and the place. Returns as vu_rmtree. env->clear_flags is set as the kind of
 * tree wants it.
 */
int vu_trees_remove(struct vu_rmtree_env *env, const char *name, struct vu_rmtree_stats *stats);

/* Removes a place that is empty; one that is not stays. */
void vu_trees_drop(const struct vu_pool *p, const char *name);

/* Removes what places lie in, if there is none. */
void vu_trees_tidy(const struct vu_pool *p);

/*
 * Calls fn for each place, until it returns non-zero, which is returned; else 0 or a negative errno. fn may
 * remove it.
 */
int vu_trees_each(const struct vu_pool *p, int (*fn)(void *arg, const char *name), void *arg);

/* Of what kind is the tree in it? */
enum vu_tree_kind vu_trees_kind(const char *name);
