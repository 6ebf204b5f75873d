/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * There are two batches: while one is worked on (naming-batch.c), by threads of its own, the next one is filled
 * by the caller, who reads directories and does what else there is to do meanwhile. What became of names
 * is told when the batches change places, or when all is waited for.
 */
#include "link/naming.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/crew.h"
#include "link/naming-int.h"

struct vu_naming {
	const struct vu_naming_env *env;
	struct vu_naming_batch batch[2];
	unsigned filling;     /* index of the one that is filled */
	struct vu_crew *crew; /* owned; at work on the other; or NULL */
	uint32_t max_slots;
	bool claims; /* others shared the pool, by the last batch */
	struct vu_naming_stats stats;
};

static uint32_t slots_max(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return VU_NAMING_OBJECTS_CLAIMED;
	return l.rlim_cur / 2 < VU_NAMING_OBJECTS_MAX ? (uint32_t)VU_MAX(l.rlim_cur / 4, 4)
						      : VU_NAMING_OBJECTS_MAX;
}

static int init_batch(struct vu_naming_batch *b, const struct vu_naming_env *env, uint32_t slots)
{
	b->env = env;
	b->slots = calloc(slots, sizeof(*b->slots));
	b->names = calloc(VU_NAMING_NAMES_MAX, sizeof(*b->names));
	return b->slots && b->names ? 0 : -ENOMEM;
}

int vu_naming_new(const struct vu_naming_env *env, struct vu_naming **ret)
{
	struct vu_naming *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->env = env;
	n->max_slots = slots_max();
	if (init_batch(&n->batch[0], env, n->max_slots) ||
	    init_batch(&n->batch[1], env, n->max_slots))
		n = vu_naming_free(n);
	*ret = n;
	return n ? 0 : -ENOMEM;
}

/* ---- batches at work ---- */

static void tell(struct vu_naming *n, struct vu_naming_batch *b)
{
	for (uint32_t i = 0; i < b->n_slots; i++)
		for (uint32_t k = b->slots[i].first; k != VU_NAMING_END; k = b->names[k].next) {
			n->stats.names += !b->names[k].r;
			n->env->done(n->env->arg, b->names[k].cookie, b->names[k].name,
				     b->slots[i].ino, b->names[k].r);
		}
}

static void clear(struct vu_naming_batch *b)
{
	for (uint32_t i = 0; i < b->n_names; i++)
		free(b->names[i].name);
	b->n_names = b->n_slots = 0;
	vu_inomap_done(&b->by_ino);
	b->by_ino = (struct vu_inomap){0};
}

static void settle(struct vu_naming *n, struct vu_naming_batch *b)
{
	n->claims = b->claims;
	n->stats.objects_removed += b->objects_removed;
	tell(n, b);
	clear(b);
}

static int lead(void *arg, unsigned thread)
{
	(void)thread;
	return vu_naming_batch_run(arg);
}

/* Waits for the one that is at work. */
static int collect(struct vu_naming *n)
{
	if (!n->crew)
		return 0;
	int r = vu_crew_wait(vu_take_ptr(n->crew));

	settle(n, &n->batch[!n->filling]);
	return r;
}

/* Has the one that was filled worked on; the other is filled next. None is at work. */
static int begin(struct vu_naming *n)
{
	struct vu_naming_batch *b = &n->batch[n->filling];
	int r;

	if (!b->n_slots)
		return 0;
	b->objects_removed = 0;
	if (n->env->jobs > 1) {
		n->crew = vu_crew_start(1, lead, b);
		n->filling = !n->filling;
		if (n->crew)
			return 0;
	}
	r = vu_naming_batch_run(b);
	settle(n, b);
	return r;
}

int vu_naming_push(struct vu_naming *n)
{
	int r = collect(n), e = begin(n);

	return r ? r : e;
}

int vu_naming_flush(struct vu_naming *n)
{
	int r = collect(n), e = begin(n), c = collect(n);

	return r ? r : e ? e : c;
}

/* ---- names ---- */

static bool is_full(const struct vu_naming *n, const struct vu_naming_batch *b)
{
	uint32_t most = n->claims ? VU_MIN(n->max_slots, (uint32_t)VU_NAMING_OBJECTS_CLAIMED)
				  : n->max_slots;

	if (!n->crew && n->env->jobs > 1)
		most = VU_MIN(most, (uint32_t)VU_NAMING_OBJECTS_FIRST);
	return b->n_names == VU_NAMING_NAMES_MAX || b->n_slots >= most;
}

/* The slot of an object, new or known. */
static int slot_of(struct vu_naming_batch *b, const struct vu_key *key, uint64_t ino, uint32_t *ret)
{
	if (vu_inomap_get(&b->by_ino, ino, ret))
		return 0;
	int r = vu_inomap_set(&b->by_ino, ino, b->n_slots);

	if (r)
		return r;
	*ret = b->n_slots++;
	b->slots[*ret] = (struct vu_naming_slot){.key = *key, .ino = ino, .first = VU_NAMING_END};
	return 0;
}

int vu_naming_add(struct vu_naming *n, const struct vu_key *key, uint64_t ino, int dir,
		  const char *name, void *cookie)
{
	struct vu_naming_batch *b = &n->batch[n->filling];
	uint32_t slot;
	char *copy = strdup(name);
	int r = copy ? slot_of(b, key, ino, &slot) : -ENOMEM;

	if (r) {
		free(copy);
		n->env->done(n->env->arg, cookie, name, ino, r);
		return r;
	}
	/* what no thread comes to because the run ends */
	b->names[b->n_names] = (struct vu_naming_name){
		.next = b->slots[slot].first,
		.dir = dir,
		.r = -ECANCELED,
		.cookie = cookie,
		.name = copy,
	};
	b->slots[slot].first = b->n_names++;
	return is_full(n, b) ? vu_naming_push(n) : 0;
}

struct vu_naming_stats vu_naming_stats(const struct vu_naming *n)
{
	return n ? n->stats : (struct vu_naming_stats){0};
}

struct vu_naming *vu_naming_free(struct vu_naming *n)
{
	if (!n)
		return NULL;
	for (unsigned i = 0; i < 2; i++) {
		clear(&n->batch[i]);
		free(n->batch[i].slots);
		free(n->batch[i].names);
	}
	free(n);
	return NULL;
}
