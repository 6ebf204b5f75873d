/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies that a killed run left in the stage (c-* and b-*, see recover-stage.c). */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "link/recover-leftover.h"
#include "link/swap.h"

/* The copy that was at the path is in the stage now. The guest may have written to it since. */
static int drop_or_rescue_copy(struct vu_leftover *l)
{
	struct vu_object *o = NULL;
	int r = vu_stat_at(l->dir, l->name, &l->st), equal = 0;

	if (!r)
		r = vu_recover_object_open(l->c, &l->in->key, &o);
	if (r < 0)
		return r;
	if (o)
		equal = vu_leftover_is_all(l);
	if (equal > 0)
		equal = vu_leftover_equals(l, o);
	vu_object_unref(&l->c->moment, o);
	if (equal < 0)
		return equal;
	return equal ? vu_leftover_remove(l, "a private copy that was not needed: removed")
		     : vu_leftover_rescue(l);
}

/* Something of the guest's came out when the copy was put to the path: it is the newer one there. */
static int restore_over_copy(struct vu_leftover *l)
{
	if (l->c->env->dry_run)
		return vu_leftover_restored(l);
	int r = vu_swap_back(l->dir, l->name, l->parent, l->base, l->st.version.ino, l->at_path);

	if (r)
		return r > 0 ? vu_leftover_rescue(l) : r;
	vu_leftover_restored(l);
	return drop_or_rescue_copy(l);
}

/*
 * Whatever comes out, the object or the copy (the guest put something newer there), is superfluous. But
 * the writer of an object may be this guest, and what is written to it is to stay at the path: he is
 * waited for. Of a slipped one eviction gives him the inode, and that comes first.
 */
static int finish_copy(struct vu_leftover *l)
{
	struct vu_object *o = NULL;
	int r = vu_recover_object_open(l->c, &l->in->key, &o), e;

	if (r == VU_RECOVER_BUSY && !vu_pool_object_slipped(l->c->pool, &l->in->key))
		return vu_leftover_leave_for(
			l, "the private copy that its other names have is kept in "
			   "the stage: the object is open for writing");
	if (r > 0)
		return vu_leftover_remove(l, "a private copy whose object is damaged: removed");
	if (r)
		return r;
	r = l->c->env->dry_run ? 0 : vu_moment_begin(&l->c->moment, o);
	if (!r && !l->c->env->dry_run) {
		r = vu_swap_back(l->dir, l->name, l->parent, l->base, l->st.version.ino, o->ino);
		if (r >= 0)
			r = unlinkat(l->dir, l->name, 0) ? -errno : 0;
		e = vu_moment_end(&l->c->moment, o, -EBADF);
		r = r ? r : e;
	}
	vu_object_unref(&l->c->moment, o);
	if (r)
		return r == -ESTALE ? vu_leftover_leave(l) : r;
	l->c->stats->names_restored++;
	vu_recover_tell(l->c, VU_EVENT_RECOVER, NULL, l->in->path, 0,
			"it follows the other names of its file to their private copy");
	return 0;
}

/* Is it still the copy, and not a file that was made after the last exchange? 1, 0 or a negative errno. */
static int is_copy_at_path(const struct vu_leftover *l)
{
	uint64_t born_ns;

	if (l->at_path != l->in->ino)
		return 0;
	int r = vu_stat_born(l->parent, l->base, &born_ns);

	return r ? (r == -ENOENT ? 0 : r) : born_ns <= l->changed_ns;
}

int vu_leftover_settle_copy(struct vu_leftover *l)
{
	if (l->st.version.ino == l->in->ino) {
		int all = l->at_path == l->in->object_ino ? vu_leftover_is_all(l) : 1;

		if (all <= 0)
			return all ? all : finish_copy(l);
		return vu_leftover_remove(l, "a private copy that was not needed: removed");
	}
	int same = is_copy_at_path(l);

	return same < 0 ? same : same ? restore_over_copy(l) : vu_leftover_rescue(l);
}

bool vu_leftover_is_live_copy(const struct vu_leftover *l)
{
	return strtoull(l->name + 2, NULL, 16) == l->st.version.ino && vu_leftover_is_all(l) == 1;
}
