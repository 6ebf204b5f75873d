/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "link/adopt.h"
#include "link/freezer.h"
#include "link/parking.h"

#define LOOK_NS UINT64_C(50000000)
#define MOMENT_NAMES 48		     /* names moved in one moment, if not one inode has more */
#define TOGETHER 64		     /* moments for which guests are frozen together, at most */
#define GATHER_NS UINT64_C(20000000) /* opened files are leased: nobody is to wait for long */
#define AMONG_WRITERS 256

static bool must_stop(const struct vu_batch *b)
{
	return b->run->error || vu_stop_requested();
}

/* ---- file system ---- */

static struct vu_pool *pool_of(const struct vu_batch *b)
{
	return b->run->env->pools[b->fs];
}

static void leave_fs(struct vu_batch *b)
{
	if (!b->open)
		return;
	vu_journal_close(pool_of(b), b->worker, &b->journal);
	close(b->stage);
	vu_pool_stage_remove(pool_of(b), b->worker);
	b->open = false;
}

static int enter_fs(struct vu_batch *b, uint16_t fs)
{
	if (b->open && b->fs == fs)
		return 0;
	leave_fs(b);
	b->fs = fs;
	int r = vu_journal_open(pool_of(b), b->worker, &b->journal);

	if (r)
		return r;
	b->stage = vu_pool_stage_open(pool_of(b), b->worker);
	if (b->stage < 0) {
		vu_journal_close(pool_of(b), b->worker, &b->journal);
		return b->stage;
	}
	b->open = true;
	return 0;
}

/*
 * To learn who waits for a lease takes as long as there are leases (link/interrupt.h). So once somebody
 * came, there are few, and nobody waits for long. Nor does who breaks a link, for an object of the batch.
 */
static unsigned at_most(const struct vu_batch *b, unsigned most)
{
	bool came = __atomic_load_n(&b->run->moment.stats.interrupted, __ATOMIC_RELAXED) > 0;

	return came || b->claims ? VU_MIN(most, AMONG_WRITERS) : most;
}

unsigned vu_batch_size(const struct vu_batch *b)
{
	return at_most(b, b->max_objects);
}

int vu_batch_init(struct vu_batch *b, struct vu_linkrun *run, unsigned worker, unsigned quota)
{
	*b = (struct vu_batch){.run = run, .worker = worker, .stage = -EBADF};
	b->max_objects = VU_MIN(quota / 4, 2048);
	b->max_names = VU_MIN(quota / 4, 4096);
	vu_reaper_start(&b->reaper, run, b->max_names);
	b->slots = calloc(b->max_objects, sizeof(*b->slots));
	if (!b->slots)
		return -ENOMEM;
	return vu_dirs_init(&b->dirs, run->env->tree, run->env->guests, run->env->root_fds,
			    VU_MIN(quota / 8, 512));
}

int vu_batch_done(struct vu_batch *b)
{
	vu_reaper_stop(&b->reaper);
	leave_fs(b);
	vu_dirs_done(&b->dirs);
	free(b->slots);
	b->slots = NULL;
	return 0;
}

/* ---- objects ---- */

/*
 * Who breaks links while the guest runs (link/live.h) has to know all names of an inode, and does not learn of those
 * that are unified meanwhile: it would leave one behind. Returns 0 or an enum vu_skip.
 */
static int may_come_apart(const struct vu_batch *b, uint32_t inode)
{
	const struct vu_tree *t = b->run->env->tree;

	return b->claims && vu_tree_count_names(t, vu_tree_inode(t, inode)) > 1 ? VU_SKIP_NAMES : 0;
}

/*
 * The keeper, or if it cannot be taken over the first target that can be: the others are equal all
 * the same. Without any, or with nothing left to link, the slot stays without an object.
 */
static int adopt_any(struct vu_batch *b, struct vu_linkslot *s)
{
	const uint32_t *targets = b->run->plan->targets;
	uint32_t inode = s->plan->keeper;

	for (;;) {
		struct vu_key key = s->plan->key;
		int err = 0, r = may_come_apart(b, inode);

		if (!r)
			r = vu_adopt_inode(b->run, &b->dirs, pool_of(b), b->claims, inode, &key,
					   &s->object, &err);
		if (!r) {
			s->inode = inode;
			s->adopted = true;
			return 0;
		}
		if (r < 0)
			return r;
		vu_target_skip(b->run, inode, (enum vu_skip)r, err);
		if (s->next == s->end)
			return 0;
		inode = targets[s->next++];
		if (s->next == s->end) { /* the last one: nobody to share with */
			vu_target_skip(b->run, inode, VU_SKIP_UNIQUE, 0);
			return 0;
		}
	}
}

static void skip_rest(struct vu_batch *b, struct vu_linkslot *s, enum vu_skip why, int err)
{
	while (s->next < s->end)
		vu_target_skip(b->run, b->run->plan->targets[s->next++], why, err);
}

static int open_slot(struct vu_batch *b, struct vu_linkslot *s, const struct vu_plan_object *p)
{
	int err = 0, r;

	*s = (struct vu_linkslot){.plan = p, .next = p->first, .end = p->first + p->n};
	if (!p->keeper_is_object)
		return adopt_any(b, s);
	r = vu_adopt_existing(b->run, pool_of(b), b->claims, p->keeper, &p->key, &s->object, &err);
	if (r < 0)
		return r;
	if (r > 0)
		skip_rest(b, s, (enum vu_skip)r, err);
	s->inode = p->keeper;
	return 0;
}

/* ---- intents ---- */

static int write_intents_of(struct vu_batch *b, struct vu_linkslot *s)
{
	const struct vu_tree *t = b->run->env->tree;
	char tmp[16 + VU_TMP_MAX];
	uint64_t number = s->tmp;
	int r = 0;

	for (uint32_t i = s->next; !r && i < s->end; i++) {
		const struct vu_inode *n = vu_tree_inode(t, b->run->plan->targets[i]);
		const struct vu_guest *g = &b->run->env->guests->v[n->guest];

		for (uint32_t k = n->first_name; !r && k != VU_NONE; k = vu_tree_name(t, k)->next) {
			_cleanup_free_ char *path = vu_tree_name_path(t, k);
			int at = snprintf(tmp, sizeof(tmp), "%u/", b->worker);

			if (!path)
				return -ENOMEM;
			vu_tmp_name(b->run->prefix, number++, tmp + at);
			r = vu_journal_add(&b->journal,
					   &(struct vu_intent){
						   .kind = VU_JOURNAL_LINK,
						   .tmp = tmp,
						   .key = s->object->key,
						   .object_ino = s->object->ino,
						   .ino = n->ino,
						   .root_ino = g->ino,
						   .root = g->path,
						   .path = path,
						   .domain = g->domain,
						   .with_mtime = b->run->env->mtime_exact,
					   });
		}
	}
	return r;
}

static uint64_t names_of(const struct vu_batch *b, const struct vu_linkslot *s)
{
	const struct vu_tree *t = b->run->env->tree;
	uint64_t n = 0;

	for (uint32_t i = s->next; i < s->end; i++)
		n += vu_tree_count_names(t, vu_tree_inode(t, b->run->plan->targets[i]));
	return n;
}

static int write_intents(struct vu_batch *b, uint32_t n)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < n; i++) {
		struct vu_linkslot *s = &b->slots[i];

		if (!s->object)
			continue;
		s->tmp = atomic_fetch_add(&b->run->next_tmp, names_of(b, s));
		r = write_intents_of(b, s);
	}
	if (!r)
		r = vu_journal_flush(&b->journal);
	return r ? r : vu_pool_sync(pool_of(b));
}

/* ---- names ---- */

struct chunk {
	struct vu_target *head, **tail;
	unsigned n_names;
};

/* Opens targets until a moment's worth of names is together; so many others are held already. */
static int fill(struct vu_batch *b, struct vu_linkslot *s, struct chunk *c, unsigned held)
{
	const struct vu_tree *t = b->run->env->tree;
	unsigned most = VU_MIN(MOMENT_NAMES, b->max_names);
	int r = 0;

	b->reaper.max = at_most(b, b->max_names);
	while (r >= 0 && s->next < s->end && !must_stop(b)) {
		uint32_t inode = b->run->plan->targets[s->next];
		unsigned n = vu_tree_count_names(t, vu_tree_inode(t, inode));
		struct vu_target *target = NULL;
		int err = 0;

		if (c->n_names && c->n_names + n > most)
			break;
		/* room for all of the moment: else there are many small ones */
		unsigned room = c->n_names ? n : VU_MAX(n, VU_MIN(most, s->end - s->next));

		r = n > b->max_names ? VU_SKIP_LIMIT : may_come_apart(b, inode);
		if (r)
			; /* it takes no room */
		else if (!vu_reaper_room(&b->reaper, room, held + c->n_names))
			break;
		/* one with a skip was tried before, for the generation before */
		if (!r && !vu_tree_inode(t, inode)->skip)
			r = vu_target_open(b->run, &b->dirs, s, b->stage, inode, s->tmp, &target,
					   &err);
		if (r > 0)
			vu_target_skip(b->run, inode, (enum vu_skip)r, err);
		if (r < 0)
			break;
		if (target) {
			target->at = s->next;
			*c->tail = target;
			c->tail = &target->next;
			c->n_names += n;
		}
		s->next++;
		s->tmp += n;
		r = 0;
	}
	return r < 0 ? r : 0;
}

/*
 * Inside a moment: moves all of the chunk. Those moved go to the reaper afterwards; at the limit of
 * links the rest stays in the chunk (-EMLINK).
 */
static int move_chunk(struct vu_batch *b, struct chunk *c, struct chunk *moved, int *ret_twin)
{
	struct vu_target *t;
	int r = 0;

	while (r >= 0 && (t = c->head)) {
		r = vu_target_move(t);
		if (r == VU_SKIP_LINK_LIMIT)
			return -EMLINK;
		c->head = t->next;
		t->next = NULL;
		c->n_names -= t->n;
		if (!r) {
			*moved->tail = t;
			moved->tail = &t->next;
			*ret_twin = t->fd;
			continue;
		}
		if (r > 0)
			vu_target_skip(b->run, t->inode, (enum vu_skip)r, t->err);
		vu_target_free(t);
	}
	return r < 0 ? r : 0;
}

/* Gives up what is left of a chunk. why 0: untouched, the run ends. */
static void drop_chunk(struct vu_batch *b, struct chunk *c, enum vu_skip why)
{
	struct vu_target *t;

	while ((t = c->head)) {
		c->head = t->next;
		if (why)
			vu_target_skip(b->run, t->inode, why, 0);
		vu_target_free(t);
	}
	c->tail = &c->head;
	c->n_names = 0;
}

/* In the freezer. */
static int moment_for(struct vu_batch *b, struct vu_linkslot *s, struct chunk *c)
{
	struct chunk moved = {.tail = &moved.head};
	struct vu_target *t;
	int twin = -EBADF, e;
	int r = s->object->lost ? -ESTALE : vu_moment_begin_inside(&b->run->moment, s->object);

	if (r)
		return r;
	r = move_chunk(b, c, &moved, &twin);
	e = vu_reaper_end_moment(&b->reaper, s->object, twin);
	while ((t = moved.head)) {
		moved.head = t->next;
		atomic_fetch_add(&s->n_linked, 1);
		vu_reaper_push(&b->reaper, t);
	}
	return e ? e : r;
}

/* The end of an object: its record, or back to private when nobody joined it. */
static int close_slot(struct vu_batch *b, struct vu_linkslot *s)
{
	int r = 0;

	if (!s->object)
		return 0;
	if (s->adopted && !s->n_linked && !s->plan->alone) {
		r = vu_adopt_undo(b->run, s->object, s->inode);
		if (!r && !vu_tree_inode(b->run->env->tree, s->inode)->skip && !must_stop(b))
			vu_target_skip(b->run, s->inode, VU_SKIP_UNIQUE, 0);
		if (r == -EBUSY)
			s->n_linked = 1;
		r = r == -EBUSY ? 0 : r;
	}
	/* a moment changes the times also when nothing was linked in it */
	if (s->n_linked || s->plan->alone || (!s->adopted && s->object->ended_ns)) {
		vu_adopt_record(b->run, s);
		if (s->adopted)
			__atomic_fetch_add(&b->run->stats->objects_new, 1, __ATOMIC_RELAXED);
	}
	s->object = vu_object_unref(&b->run->moment, s->object);
	return r;
}

/*
 * At the limit of links: the first target of the chunk becomes the object of the next generation, and
 * the others follow it. Everything about the full object is settled first, for the slot is used again.
 */
static int next_generation(struct vu_batch *b, struct vu_linkslot *s, struct chunk *c)
{
	struct vu_target *t = c->head;
	struct vu_object *o = NULL;
	struct vu_key key = s->object->key;
	uint32_t inode = t->inode;
	int err = 0, fd = t->fd, r;

	vu_reaper_drain(&b->reaper);
	t->fd = -EBADF;
	r = vu_adopt_open(b->run, pool_of(b), b->claims, inode, &fd, &key, &o, &err);
	vu_close_p(&fd);
	/* the others are opened anew: their temporary names are meant for the old object */
	if (t->next) {
		s->next = t->next->at;
		s->tmp = t->next->tmp;
	}
	drop_chunk(b, c, 0);
	if (r) {
		if (r > 0)
			vu_target_skip(b->run, inode, (enum vu_skip)r, err);
		return r < 0 ? r : 0;
	}
	r = close_slot(b, s);
	s->object = o;
	s->inode = inode;
	s->adopted = true;
	s->n_linked = 0;
	s->tmp = atomic_fetch_add(&b->run->next_tmp, names_of(b, s));
	if (!r)
		r = write_intents_of(b, s);
	if (!r)
		r = vu_journal_flush(&b->journal);
	return r ? r : vu_pool_sync(pool_of(b));
}

/* Whoever is on his way since a moment ended, or since an object was made, does not wait for long. */
static void look_at_objects(struct vu_batch *b)
{
	uint64_t now = vu_moment_now();

	if (now < b->looked_ns + LOOK_NS)
		return;
	for (uint32_t i = 0; i < b->opened; i++)
		if (b->slots[i].object)
			vu_reaper_look(&b->reaper, b->slots[i].object);
	if (b->run->env->watch)
		vu_parking_refresh(b->run->env->watch->parking);
	b->looked_ns = now;
}

/* What is opened for one moment, and what came of it. */
struct turn {
	struct vu_linkslot *slot;
	struct chunk c;
	int r;
};

/*
 * Opens what the next moment needs; where guests are frozen, what some moments need: opening takes
 * longer than moving. *next: the first slot that has targets left, of n. Returns how many turns.
 */
static unsigned gather(struct vu_batch *b, struct turn *turns, uint32_t *next, uint32_t n,
		       int *ret_r)
{
	bool freezes = vu_freezer_is_used(vu_moment_freezer(&b->run->moment));
	unsigned most = freezes ? TOGETHER : 1, held = 0, k = 0;
	uint64_t until = vu_moment_now() + GATHER_NS;

	*ret_r = 0;
	while (!*ret_r && k < most && *next < n && !must_stop(b) &&
	       (!k ||
		(vu_moment_now() < until && held + MOMENT_NAMES <= at_most(b, b->max_names) / 2))) {
		struct turn *t = &turns[k];
		struct vu_linkslot *s = &b->slots[*next];

		if (!s->object || s->next == s->end) {
			++*next;
			continue;
		}
		*t = (struct turn){.slot = s};
		t->c.tail = &t->c.head;
		*ret_r = fill(b, s, &t->c, held);
		held += t->c.n_names;
		k++;
		if (s->next < s->end) /* the rest of it has another turn */
			break;
	}
	return k;
}

static void do_moments(struct vu_batch *b, struct turn *turns, unsigned n)
{
	struct vu_freezer *f = vu_moment_freezer(&b->run->moment);
	int in = vu_freezer_enter(f), r = 0;

	for (unsigned i = 0; i < n && (!r || r == -EMLINK || r == -ESTALE || r == -EAGAIN); i++) {
		if (!in && !vu_freezer_has_time(f)) {
			vu_freezer_leave(f);
			in = vu_freezer_enter(f);
		}
		if (turns[i].c.head)
			turns[i].r = r = in ? in : moment_for(b, turns[i].slot, &turns[i].c);
	}
	if (!in)
		vu_freezer_leave(f);
}

static void tell_not_frozen(struct vu_batch *b)
{
	if (!atomic_exchange(&b->run->told_frozen, true))
		vu_moment_emit(
			&b->run->moment,
			&(struct vu_event){
				.kind = VU_EVENT_WARN,
				.skip = VU_SKIP_OPEN_FOR_WRITE,
				.text = "files were left private because a guest that runs could "
					"not be frozen (moment = freeze): see `vunify why`"});
}

static int settle(struct vu_batch *b, struct turn *t)
{
	struct vu_linkslot *s = t->slot;
	int r = t->r;

	if (r == -EMLINK)
		r = next_generation(b, s, &t->c);
	if (r == -ESTALE || r == -EAGAIN) { /* the object is lost, and has been told as such */
		enum vu_skip why = r == -ESTALE ? VU_SKIP_CHANGED : VU_SKIP_OPEN_FOR_WRITE;

		if (r == -EAGAIN)
			tell_not_frozen(b);
		drop_chunk(b, &t->c, why);
		skip_rest(b, s, why, 0);
		r = 0;
	}
	drop_chunk(b, &t->c, 0);
	return r;
}

static int link_slots(struct vu_batch *b, uint32_t n)
{
	struct turn turns[TOGETHER];
	uint32_t next = 0;
	int r = 0;

	while (!r && next < n && !must_stop(b)) {
		look_at_objects(b);
		unsigned k = gather(b, turns, &next, n, &r);

		if (!r)
			do_moments(b, turns, k);
		for (unsigned i = 0; i < k; i++) {
			int e = settle(b, &turns[i]);

			r = r ? r : e;
			/* a next generation has its targets before it again */
			if (turns[i].slot->next < turns[i].slot->end)
				next = VU_MIN(next, (uint32_t)(turns[i].slot - b->slots));
		}
	}
	return r;
}

/* While what was replaced waits, so does whoever wants to see the directories as they are from then on. */
static void restore_times(struct vu_batch *b)
{
	const struct vu_linker_env *env = b->run->env;

	vu_touched_restore_early(&b->run->touched, env->tree, env->guests, env->root_fds);
}

static int run_objects(struct vu_batch *b, const uint32_t *objects, uint32_t n, bool last)
{
	const struct vu_plan *plan = b->run->plan;
	uint32_t opened = 0;
	int r = 0, e;

	for (; !r && opened < n && !must_stop(b); opened++)
		r = open_slot(b, &b->slots[opened], &plan->objects[objects[opened]]);
	b->opened = opened;
	if (!r)
		r = write_intents(b, opened);
	if (!r)
		r = link_slots(b, opened);
	if (last)
		restore_times(b);
	vu_reaper_drain(&b->reaper);
	for (uint32_t i = 0; i < opened; i++) {
		e = close_slot(b, &b->slots[i]);
		r = r ? r : e;
	}
	if (!b->run->unsettled) {
		e = vu_journal_reset(&b->journal);
		r = r ? r : e;
	}
	if (!r && (opened < n || must_stop(b)))
		r = b->run->error ? b->run->error : -ECANCELED;
	return r;
}

int vu_batch_run(struct vu_batch *b, const uint32_t *objects, uint32_t n, bool last)
{
	int r = enter_fs(b, b->run->plan->objects[objects[0]].fs);

	if (r)
		return r;
	r = vu_claims_begin(vu_pool_claims(pool_of(b)));
	if (r < 0)
		return r;
	b->claims = r;
	r = run_objects(b, objects, n, last);
	if (!b->claims)
		vu_claims_end(vu_pool_claims(pool_of(b)));
	return r;
}
