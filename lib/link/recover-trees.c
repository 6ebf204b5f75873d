/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trees that a run was making or removing when it was cut short. One that was being made has no name as a
 * guest yet, and never was one: it is removed. One that was being removed is so to its end: that was
 * asked for, and what is left of it is no guest any more.
 */
#include <errno.h>

#include "link/recover-int.h"
#include "link/trees.h"

static void tell_failed(void *arg, const char *name, int err)
{
	vu_recover_tell(arg, VU_EVENT_WARN, NULL, name, err,
			"of an unfinished tree this cannot be removed");
}

static int tree(void *arg, const char *name)
{
	struct vu_recover *c = arg;
	struct vu_rmtree_env env = {
		.pool = c->pool,
		.objects = &c->objects,
		.moment = &c->moment,
		.failed = tell_failed,
		.arg = c,
	};
	struct vu_rmtree_stats stats = {0};
	int r = c->env->dry_run ? 0 : vu_trees_remove(&env, name, &stats);

	if (r == -ENOTEMPTY) {
		c->stats->left++;
		return 0;
	}
	if (r)
		return r;
	c->stats->trees_removed++;
	vu_recover_tell(c, VU_EVENT_RECOVER, NULL, NULL, 0,
			vu_trees_kind(name) == VU_TREE_MADE
				? "a guest that was not made to its end: removed"
				: "a guest whose removal was cut short: removed to its end");
	return 0;
}

int vu_recover_trees(struct vu_recover *c)
{
	int r = vu_trees_each(c->pool, tree, c);

	/* killed between two calls that make a place, or take one away */
	if (!r && !c->env->dry_run)
		vu_trees_tidy(c->pool);
	return r;
}
