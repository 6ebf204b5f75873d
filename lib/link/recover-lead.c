/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names that were being led over from one object to another (link/lead.c). The guest had them of one inode,
 * and they stay names of one: where some have moved, the others follow, in moments of both objects, as they
 * would have in the run that was killed. Where none has moved, or all have, nothing is to be done.
 *
 * It is done behind the stage: what is left there are names of objects, which are removed, and files
 * of the guest, which are put back first. The temporary names are those of the journal again: killed, what
 * is in the stage is told by the same lines. A guest that is not known keeps what it has, names of two
 * sound objects, until somebody propagates to it again; nothing waits for that.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "link/break-item.h"
#include "link/break-name.h"
#include "link/recover-int.h"

/* The names of one inode, as the journal has them. */
struct following {
	struct vu_recover *c;
	const struct vu_intent *in;
	uint32_t n;
	unsigned slot;
	int root; /* borrowed */
	struct vu_guest guest;
	struct vu_guests guests; /* of this one */
	struct vu_pool *pool;
	struct vu_sink sink;
	struct vu_breaker_env env;
	struct vu_breaker_stats stats;
	struct vu_breaking b;
	struct vu_break_item it; /* its paths owned, the strings borrowed */
	struct vu_breaking_item w;
};

static bool has_tmp(const struct following *f, uint32_t k)
{
	char tmp[VU_BREAKING_TMP_MAX];
	const char *slash = strchr(f->in[k].tmp, '/');

	vu_breaking_tmp(&f->b, f->w.tmp + k, tmp);
	return slash && !strcmp(slash + 1, tmp) && strtoul(f->in[k].tmp, NULL, 10) == f->slot;
}

static bool is_one_inode(const struct vu_intent *a, const struct vu_intent *b)
{
	return b->kind == VU_JOURNAL_LEAD && a->ino == b->ino && a->object_ino == b->object_ino &&
	       a->root_ino == b->root_ino;
}

/* How many lines from this one on are of one item of the leader. */
static uint32_t count_names(struct following *f, size_t n)
{
	uint32_t k = 1;

	if (sscanf(f->in->tmp, "%u/c-%" SCNx64 "-%" SCNx64, &f->slot, &f->b.prefix, &f->w.tmp) != 3)
		return 1;
	while (k < n && k < UINT32_MAX && is_one_inode(f->in, &f->in[k]) && has_tmp(f, k))
		k++;
	return k;
}

/* What the run would have told as unified is told as put right; the rest as it comes. */
static void hear(void *arg, const struct vu_event *e)
{
	struct following *f = arg;

	if (e->kind == VU_EVENT_UNIFY) {
		f->c->stats->names_restored++;
		vu_recover_tell(f->c, VU_EVENT_RECOVER, &f->in->key, e->path, 0,
				"it follows the other names of its file to their object");
	} else if (e->kind != VU_EVENT_SKIP) {
		vu_moment_emit(&f->c->moment, e);
	}
}

static int prepare(struct following *f)
{
	struct vu_recover *c = f->c;
	const struct vu_intent *in = f->in;

	/* borrowed, and only read */
	f->guest = (struct vu_guest){.name = (char *)(uintptr_t)in->root,
				     .path = (char *)(uintptr_t)in->root,
				     .ino = in->root_ino};
	f->guests = (struct vu_guests){.v = &f->guest, .n = 1};
	f->pool = c->pool;
	f->sink = (struct vu_sink){.fn = hear, .arg = f};
	f->env = (struct vu_breaker_env){.guests = &f->guests,
					 .root_fds = &f->root,
					 .pools = &f->pool,
					 .n_pools = 1,
					 .max_xattr_bytes = c->env->max_xattr_bytes,
					 .watch = c->env->watch};
	f->b.env = &f->env;
	f->b.stats = &f->stats;
	f->b.slot = f->slot;
	f->it.ino = in->ino;
	f->it.n_paths = f->n;
	f->it.paths = calloc(f->n, sizeof(*f->it.paths));
	if (!f->it.paths)
		return -ENOMEM;
	for (uint32_t k = 0; k < f->n; k++)
		f->it.paths[k] = in[k].path;
	f->w.it = &f->it;
	f->w.copy_ino = in->object_ino;
	f->w.copy_fd = -EBADF;
	return 0;
}

/* How many of the names have moved, and how many have not. */
static int look(const struct following *f, uint32_t *ret_moved, uint32_t *ret_behind)
{
	int r = 0;

	*ret_moved = *ret_behind = 0;
	for (uint32_t k = 0; !r && k < f->n; k++) {
		uint64_t ino = 0;

		r = vu_breaking_ino_at(&f->b, &f->w, k, &ino);
		*ret_moved += ino == f->in->object_ino;
		*ret_behind += ino == f->in->ino;
	}
	return r;
}

/* Claimed, and what its key says. Returns 0, an enum vu_recover_e, or a negative errno. */
static int open_object(struct following *f, const struct vu_key *key, uint64_t ino,
		       struct vu_object **ret)
{
	int r = vu_object_claim(f->pool, ino);

	if (r)
		return r > 0 ? VU_RECOVER_BUSY : r;
	r = vu_recover_object_open(f->c, key, ret);
	if (!r)
		(*ret)->claimed = true;
	if (r)
		vu_object_unclaim(f->pool, ino);
	return r;
}

static int open_objects(struct following *f)
{
	int r = open_object(f, &f->it.key, f->in->ino, &f->w.object);

	if (!r)
		r = open_object(f, &f->in->key, f->in->object_ino, &f->w.into);
	if (!r && (f->w.object->ino != f->in->ino || f->w.into->ino != f->in->object_ino))
		r = VU_RECOVER_UNSOUND;
	return r;
}

static int leave(const struct following *f, const char *why)
{
	f->c->stats->left++;
	vu_recover_tell(f->c, VU_EVENT_WARN, &f->in->key, f->in->path, 0, why);
	return 0;
}

static int move(struct following *f)
{
	struct vu_moment_env *moment = &f->b.moment;

	vu_moment_env_init(moment, &f->sink, f->c->env->max_xattr_bytes);
	moment->watch = f->c->env->watch;
	int r = open_objects(f);

	if (!r)
		r = vu_breaking_move(&f->b, &f->w);
	if (!r && !f->it.done)
		r = VU_RECOVER_BUSY;
	f->w.into = vu_object_unref(moment, f->w.into);
	int e = vu_breaking_close(&f->b, &f->w);

	vu_moment_env_done(moment);
	if (r == VU_RECOVER_BUSY)
		return e ? e
			 : leave(f,
				 "names of one file are of two objects: one of these is open for "
				 "writing, or its guests cannot be frozen just now");
	if (r == VU_RECOVER_UNSOUND)
		vu_recover_tell(
			f->c, VU_EVENT_WARN, &f->in->key, f->in->path, 0,
			"names of one file are of two objects, and one of these is damaged: "
			"see `vunify verify`");
	return r < 0 ? r : e;
}

static int tell_behind(const struct following *f, uint32_t n)
{
	f->c->stats->names_restored += n;
	vu_recover_tell(f->c, VU_EVENT_RECOVER, &f->in->key, f->in->path, 0,
			"names of its file follow the others to their object");
	return 0;
}

/* The stage directory of that run may be gone. */
static int move_in_stage(struct following *f)
{
	f->b.stage = vu_pool_stage_open(f->pool, f->slot);
	if (f->b.stage < 0)
		return f->b.stage;
	int r = move(f);

	close(f->b.stage);
	vu_pool_stage_remove(f->pool, f->slot);
	return r;
}

static int settle(struct following *f)
{
	const struct vu_key *key = vu_pool_listing_find(&f->c->objects, f->in->ino);
	uint32_t moved, behind;

	if (!key) /* no object any more: the guest's own file, which has only this name */
		return 0;
	f->it.key = *key;

	f->root = vu_recover_root(f->c, f->in);
	if (f->root == -ESTALE) {
		vu_recover_tell(f->c, VU_EVENT_WARN, NULL, f->in->path, 0,
				"its guest is not known: if its names are of two files now, "
				"`vunify propagate` makes them one");
		return 0;
	}
	int r = f->root < 0 ? f->root : prepare(f);

	if (!r)
		r = look(f, &moved, &behind);
	if (!r && moved && behind)
		r = f->c->env->dry_run ? tell_behind(f, behind) : move_in_stage(f);
	free(f->it.paths);
	return r;
}

int vu_recover_leads(struct vu_recover *c)
{
	int r = 0;

	for (size_t i = 0; !r && i < c->n_intents;) {
		struct following f = {.c = c, .in = &c->intents[i], .n = 1, .root = -EBADF};

		if (f.in->kind == VU_JOURNAL_LEAD)
			f.n = count_names(&f, c->n_intents - i);
		if (f.n > 1)
			r = settle(&f);
		i += f.n;
	}
	return r;
}
