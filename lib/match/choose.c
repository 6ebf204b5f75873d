/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice of the surviving inode, and of the object.
 *
 * Private inodes are sorted by (content, domain, attributes, mtime); what is equal in all of it is a
 * class, and has one key. Within a class an inode of a guest must not share an object with another
 * inode of the same guest: before unification they were two files, and a guest's own hard links must
 * stay what they were (a program that writes to one of two copies must not find the other changed;
 * and a break, or unmerge, could not tell them apart again). So a class has slots, the generations of
 * its key: the first inode of every guest goes to the first slot, the second to the second, and so
 * on; a slot that exists already as an object is left out for a guest that has a name of it.
 *
 * A slot with an object in the pool takes any number of inodes, also one. A slot without takes two or
 * more, and its keeper is a template's inode, else the one that most processes map, else the first one
 * met by the walk. All of a slot are equal, but for the mtime where that does not matter: there an
 * object that exists is kept, also when a template joins it.
 */
#include "match/choose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "match/policy.h"

struct chooser {
	const struct vu_choose_env *env;
	const struct vu_tree *t;
	struct vu_hash *hash;
	struct vu_policy policy;
	uint32_t *object; /* inode numbers of objects, sorted by file system, key and generation */
	uint32_t n_objects;
	uint32_t *known; /* of those whose content is known, sorted by content */
	uint32_t n_known;
	struct vu_plan plan;
	uint32_t cap_objects, cap_targets;
};

static struct vu_policy_side side_of(const struct chooser *c, const struct vu_inode *n)
{
	return (struct vu_policy_side){
		.attr = vu_attrs_at(c->t->attrs, n->attr),
		.domain = c->env->guests->v[n->guest].domain,
		.mtime_ns = n->mtime_ns,
		.guest = n->guest,
	};
}

#define ORDER(a, b)                                                                                \
	do {                                                                                       \
		if ((a) != (b))                                                                    \
			return (a) < (b) ? -1 : 1;                                                 \
	} while (0)

/* Orders by all that a class has in common; the content first, so that a content is one run. */
static int class_order(const struct chooser *c, const struct vu_inode *a, const struct vu_inode *b)
{
	ORDER(a->content, b->content);
	uint8_t fa = c->env->guest_fs[a->guest], fb = c->env->guest_fs[b->guest];

	ORDER(fa, fb);
	if (a->guest != b->guest) {
		int r = strcmp(c->env->guests->v[a->guest].domain,
			       c->env->guests->v[b->guest].domain);

		if (r)
			return r;
	}
	ORDER(a->attr, b->attr);
	if (c->env->mtime_exact)
		ORDER(a->mtime_ns, b->mtime_ns);
	return 0;
}

static int by_class(const void *pa, const void *pb, void *arg)
{
	const struct chooser *c = arg;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;
	const struct vu_inode *a = vu_tree_inode(c->t, ia), *b = vu_tree_inode(c->t, ib);
	int r = class_order(c, a, b);

	if (r)
		return r;
	ORDER(a->guest, b->guest);
	ORDER(a->ino, b->ino); /* not the order in which threads have met them */
	ORDER(ia, ib);
	return 0;
}

static int key_order(const struct vu_key *a, const struct vu_key *b)
{
	int r = memcmp(&a->hash, &b->hash, sizeof(a->hash));

	if (r)
		return r;
	ORDER(a->generation, b->generation);
	return 0;
}

static int by_key(const void *pa, const void *pb, void *arg)
{
	const struct chooser *c = arg;
	const struct vu_inode *a = vu_tree_inode(c->t, *(const uint32_t *)pa);
	const struct vu_inode *b = vu_tree_inode(c->t, *(const uint32_t *)pb);

	ORDER(a->fs, b->fs);
	return key_order(vu_tree_key(c->t, a->key), vu_tree_key(c->t, b->key));
}

static bool is_candidate(const struct vu_inode *n)
{
	return !(n->flags & (VU_INODE_OBJECT | VU_INODE_UNIFIED)) && n->fate != VU_UNSEEN &&
	       n->fate != VU_GONE && n->first_name != VU_NONE && !n->skip && n->content != VU_NONE;
}

static bool is_object(const struct vu_inode *n)
{
	return (n->flags & VU_INODE_OBJECT) && n->key != VU_NONE && n->fate != VU_GONE;
}

/* The numbers of the inodes that pass, in ascending order. */
static int collect(const struct vu_tree *t, bool (*pass)(const struct vu_inode *), uint32_t **ret_v,
		   uint32_t *ret_n)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->inodes.n; i++)
		n += pass(vu_tree_inode(t, i));
	uint32_t *v = malloc(sizeof(*v) * (n + 1));

	if (!v)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0; i < t->inodes.n; i++)
		if (pass(vu_tree_inode(t, i)))
			v[n++] = i;
	*ret_v = v;
	*ret_n = n;
	return 0;
}

/*
 * The numbers of the candidates content by content, ascending within one: counted into their places,
 * which is linear and needs no second array. *ret_end: where each content ends.
 */
static int collect_candidates(const struct vu_tree *t, uint32_t **ret_v, uint32_t **ret_end)
{
	_cleanup_free_ uint32_t *at = calloc((size_t)t->contents.n + 1, sizeof(*at));
	uint32_t sum = 0;

	if (!at)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->inodes.n; i++)
		if (is_candidate(vu_tree_inode(t, i)))
			at[vu_tree_inode(t, i)->content]++;
	for (uint32_t k = 0; k < t->contents.n; k++) {
		uint32_t n = at[k];

		at[k] = sum;
		sum += n;
	}
	uint32_t *v = malloc(sizeof(*v) * ((size_t)sum + 1));

	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->inodes.n; i++)
		if (is_candidate(vu_tree_inode(t, i)))
			v[at[vu_tree_inode(t, i)->content]++] = i;
	*ret_v = v;
	*ret_end = vu_take_ptr(at);
	return 0;
}

/* The first object of this file system whose key is not below (hash, generation 0). */
static uint32_t first_object(const struct chooser *c, uint8_t fs, const struct vu_key *key)
{
	uint32_t lo = 0, hi = c->n_objects;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct vu_inode *o = vu_tree_inode(c->t, c->object[mid]);

		if (o->fs < fs || (o->fs == fs && key_order(vu_tree_key(c->t, o->key), key) < 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int reserve(void **v, uint32_t *cap, uint32_t n, size_t elem)
{
	if (n <= *cap)
		return 0;
	uint32_t bigger = VU_MAX(n, *cap + *cap / 2 + 1024);
	void *p = reallocarray(*v, bigger, elem);

	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = bigger;
	return 0;
}

/* A slot that is being filled: its members are the plan's targets from first on. */
struct slot {
	struct vu_key key;
	uint32_t object; /* inode number, VU_NONE: to be made */
	uint32_t first;
};

/* How much speaks for keeping this inode. */
static uint64_t weight_of(const struct chooser *c, uint32_t inode)
{
	const struct vu_inode *n = vu_tree_inode(c->t, inode);

	if (c->env->guests->v[n->guest].template)
		return UINT64_MAX;
	return c->env->in_use ? c->env->in_use(c->env->arg, n) : 0;
}

/* Of the members of a new slot, takes the one to be kept out of the targets. */
static uint32_t take_keeper(struct chooser *c, uint32_t first)
{
	uint32_t *v = c->plan.targets, best = first;
	uint64_t best_weight = 0;

	for (uint32_t i = first; i < c->plan.n_targets && best_weight < UINT64_MAX; i++) {
		uint64_t weight = weight_of(c, v[i]);

		if (weight > best_weight) {
			best = i;
			best_weight = weight;
		}
	}
	uint32_t keeper = v[best];

	memmove(&v[best], &v[best + 1], sizeof(*v) * (c->plan.n_targets - best - 1));
	c->plan.n_targets--;
	return keeper;
}

static int finish_slot(struct chooser *c, const struct slot *s)
{
	uint32_t n = c->plan.n_targets - s->first, need = s->object == VU_NONE ? 2 : 1;

	if (n < need) {
		c->plan.n_targets = s->first;
		return 0;
	}
	int r = reserve((void **)&c->plan.objects, &c->cap_objects, c->plan.n_objects + 1,
			sizeof(*c->plan.objects));

	if (r)
		return r;
	const struct vu_inode *sample = vu_tree_inode(c->t, c->plan.targets[s->first]);
	uint32_t keeper = s->object == VU_NONE ? take_keeper(c, s->first) : s->object;

	for (uint32_t i = s->first; i < c->plan.n_targets; i++) {
		const struct vu_inode *target = vu_tree_inode(c->t, c->plan.targets[i]);

		c->plan.n_names += vu_tree_count_names(c->t, target);
	}
	c->plan.objects[c->plan.n_objects++] = (struct vu_plan_object){
		.key = s->key,
		.keeper = keeper,
		.first = s->first,
		.n = c->plan.n_targets - s->first,
		.fs = c->env->guest_fs[sample->guest],
		.keeper_is_object = s->object != VU_NONE,
	};
	return 0;
}

/*
 * The members of a class that one guest has, of which the first left are not planned yet. So a slot
 * costs as much as there are guests, however many equal files a guest may hold.
 */
struct run {
	uint32_t guest;
	uint32_t next; /* in member */
	uint32_t end;
};

/* member[0 .. n-1] is sorted by guest. What only the catalog says is never linked, so left out. */
static uint32_t make_runs(const struct chooser *c, uint32_t *member, uint32_t n, struct run *runs)
{
	uint32_t n_runs = 0, kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct vu_inode *m = vu_tree_inode(c->t, member[i]);

		if (!(m->flags & (VU_INODE_READ | VU_INODE_BELIEVED)))
			continue;
		if (!n_runs || runs[n_runs - 1].guest != m->guest)
			runs[n_runs++] = (struct run){.guest = m->guest, .next = kept, .end = kept};
		member[kept++] = member[i];
		runs[n_runs - 1].end++;
	}
	return n_runs;
}

/* Fills one slot: of each guest the first inode that is not planned yet. */
static int fill_slot(struct chooser *c, struct slot *s, const uint32_t *member, struct run *runs,
		     uint32_t n_runs)
{
	const struct vu_inode *o = s->object == VU_NONE ? NULL : vu_tree_inode(c->t, s->object);
	uint32_t links = o ? o->n_links : 1;
	int r = reserve((void **)&c->plan.targets, &c->cap_targets, c->plan.n_targets + n_runs,
			sizeof(*c->plan.targets));

	if (r)
		return r;
	s->first = c->plan.n_targets;
	for (uint32_t i = 0; i < n_runs; i++) {
		if (runs[i].next == runs[i].end)
			continue;
		const struct vu_inode *m = vu_tree_inode(c->t, member[runs[i].next]);
		uint32_t n_names = vu_tree_count_names(c->t, m);

		if (links + n_names > c->env->max_links ||
		    (o && c->env->guest_has && c->env->guest_has(c->env->arg, m->guest, o->ino)))
			continue;
		links += n_names;
		c->plan.targets[c->plan.n_targets++] = member[runs[i].next++];
	}
	return finish_slot(c, s);
}

/* True while two guests have an inode left: only then a new slot can be filled. */
static bool two_guests_left(const struct run *runs, uint32_t n_runs)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_runs && n < 2; i++)
		n += runs[i].next < runs[i].end;
	return n == 2;
}

static bool any_left(const struct run *runs, uint32_t n_runs)
{
	for (uint32_t i = 0; i < n_runs; i++)
		if (runs[i].next < runs[i].end)
			return true;
	return false;
}

static int choose_class(struct chooser *c, const uint32_t *member, uint32_t n)
{
	const struct vu_inode *m = vu_tree_inode(c->t, member[0]);
	const struct vu_attr *attr = vu_attrs_at(c->t->attrs, m->attr);
	uint8_t fs = c->env->guest_fs[m->guest];
	struct slot s = {0};
	_cleanup_free_ uint32_t *left = malloc(sizeof(*left) * n);
	_cleanup_free_ struct run *runs = calloc(VU_MIN(n, c->env->guests->n) + 1, sizeof(*runs));

	if (!left || !runs)
		return -ENOMEM;
	if (!attr->full)
		return 0;
	memcpy(left, member, sizeof(*left) * n);
	uint32_t n_runs = make_runs(c, left, n, runs);
	int r = vu_key_make(c->hash, c->env->guests->v[m->guest].domain,
			    &vu_tree_content(c->t, m->content)->digest, m->size, attr,
			    c->env->mtime_exact, m->mtime_ns, &s.key);
	uint32_t i = r ? 0 : first_object(c, fs, &s.key), next_generation = 0;

	for (; !r && i < c->n_objects; i++) {
		const struct vu_inode *o = vu_tree_inode(c->t, c->object[i]);
		const struct vu_key *key = vu_tree_key(c->t, o->key);

		if (o->fs != fs || memcmp(&key->hash, &s.key.hash, sizeof(key->hash)))
			break;
		s.key = *key;
		s.object = c->object[i];
		next_generation = key->generation + 1;
		if (!any_left(runs, n_runs))
			break;
		int sound = c->env->is_sound ? c->env->is_sound(c->env->arg, o, m) : 1;

		if (sound <= 0) {
			r = sound;
			continue;
		}
		r = fill_slot(c, &s, left, runs, n_runs);
	}
	while (!r && two_guests_left(runs, n_runs)) {
		uint32_t before = c->plan.n_objects;

		s.key.generation = next_generation++;
		s.object = VU_NONE;
		r = fill_slot(c, &s, left, runs, n_runs);
		if (c->plan.n_objects == before)
			break;
	}
	return r;
}

static int by_content(const void *pa, const void *pb, void *arg)
{
	const struct chooser *c = arg;
	uint32_t ia = *(const uint32_t *)pa, ib = *(const uint32_t *)pb;

	ORDER(vu_tree_inode(c->t, ia)->content, vu_tree_inode(c->t, ib)->content);
	ORDER(ia, ib);
	return 0;
}

static bool is_known_object(const struct vu_inode *n)
{
	return is_object(n) && n->content != VU_NONE && n->attr != VU_NONE;
}

/* The first object of this content, or of a later one. */
static uint32_t first_known(const struct chooser *c, uint32_t content)
{
	uint32_t lo = 0, hi = c->n_known;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (vu_tree_inode(c->t, c->known[mid])->content < content)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* An object does not say whose it is, but its key does, made with or without the mtime. */
static bool is_of_domain(const struct chooser *c, const struct vu_inode *o, const char *domain)
{
	const struct vu_digest *d = &vu_tree_content(c->t, o->content)->digest;
	const struct vu_attr *attr = vu_attrs_at(c->t->attrs, o->attr);
	const struct vu_key *key = vu_tree_key(c->t, o->key);
	struct vu_key k;

	for (int with_mtime = 0; with_mtime < 2; with_mtime++)
		if (!vu_key_make(c->hash, domain, d, o->size, attr, with_mtime, o->mtime_ns, &k) &&
		    !memcmp(&k.hash, &key->hash, sizeof(k.hash)))
			return true;
	return false;
}

/* What stands between a private inode and an object of the same content. */
static enum vu_skip explain_object(const struct chooser *c, const struct vu_inode *m,
				   const struct vu_inode *o)
{
	struct vu_policy_side a = side_of(c, m), b = a;

	b.attr = vu_attrs_at(c->t->attrs, o->attr);
	b.mtime_ns = o->mtime_ns;
	b.guest = VU_NONE;
	if (o->fs != c->env->guest_fs[m->guest] || !b.attr->full)
		return VU_SKIP_NONE;
	if (!is_of_domain(c, o, a.domain))
		return VU_SKIP_OTHER_DOMAIN;
	enum vu_skip s = vu_policy_pair(&c->policy, &a, &b);

	if (!s && c->env->guest_has && c->env->guest_has(c->env->arg, m->guest, o->ino))
		s = VU_SKIP_SAME_GUEST;
	return s;
}

#define EXPLAIN_MAX 16 /* others of the same content that are asked */

/* Why an unplanned inode of the content v[0 .. n-1] stays private: the least that differs wins. */
static enum vu_skip explain(const struct chooser *c, const uint32_t *v, uint32_t n, uint32_t me)
{
	const struct vu_inode *m = vu_tree_inode(c->t, v[me]);
	struct vu_policy_side a = side_of(c, m);
	enum vu_skip best = VU_SKIP_UNIQUE, s;

	for (uint32_t k = 1; k < n && k <= EXPLAIN_MAX; k++) {
		const struct vu_inode *other = vu_tree_inode(c->t, v[(me + k) % n]);
		struct vu_policy_side b = side_of(c, other);

		s = vu_policy_pair(&c->policy, &a, &b);
		if (other->guest != m->guest && s && s != VU_SKIP_SAME_GUEST)
			return s;
		if (other->guest == m->guest)
			best = VU_SKIP_SAME_GUEST;
	}
	uint32_t first = first_known(c, m->content);

	for (uint32_t k = first; k < c->n_known && k < first + EXPLAIN_MAX; k++) {
		const struct vu_inode *o = vu_tree_inode(c->t, c->known[k]);

		if (o->content != m->content)
			break;
		s = explain_object(c, m, o);
		if (s && s != VU_SKIP_SAME_GUEST)
			return s;
		best = s ? s : best;
	}
	return best;
}

/* One content: its classes, then the reasons of what is left over. */
static int choose_content(struct chooser *c, const uint32_t *v, uint32_t n)
{
	uint32_t first_object_planned = c->plan.n_objects;
	int r = 0;

	for (uint32_t i = 0, j; !r && i < n; i = j) {
		for (j = i + 1; j < n; j++)
			if (class_order(c, vu_tree_inode(c->t, v[i]), vu_tree_inode(c->t, v[j])))
				break;
		r = choose_class(c, v + i, j - i);
	}
	if (r)
		return r;
	/* fate of the planned ones is not touched: they are told by the plan itself */
	for (uint32_t i = 0; i < n; i++)
		vu_tree_inode(c->t, v[i])->skip = VU_SKIP_UNIQUE;
	for (uint32_t o = first_object_planned; o < c->plan.n_objects; o++) {
		const struct vu_plan_object *p = &c->plan.objects[o];

		vu_tree_inode(c->t, p->keeper)->skip = VU_SKIP_NONE;
		for (uint32_t i = 0; i < p->n; i++)
			vu_tree_inode(c->t, c->plan.targets[p->first + i])->skip = VU_SKIP_NONE;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct vu_inode *m = vu_tree_inode(c->t, v[i]);

		if (m->skip)
			m->skip = (uint8_t)explain(c, v, n, i);
	}
	return 0;
}

static int by_keeper(const void *pa, const void *pb, void *arg)
{
	const struct chooser *c = arg;
	const struct vu_plan_object *a = pa, *b = pb;
	/* a private keeper stands for the place where the object is first met; else its first target */
	uint32_t ia = a->keeper_is_object ? c->plan.targets[a->first] : a->keeper;
	uint32_t ib = b->keeper_is_object ? c->plan.targets[b->first] : b->keeper;

	ORDER(ia, ib);
	return key_order(&a->key, &b->key);
}

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

static int choose_all(struct chooser *c, uint32_t *v, const uint32_t *end)
{
	int r = 0;

	for (uint32_t k = 0, i = 0; !r && k < c->t->contents.n; i = end[k++]) {
		if (end[k] == i)
			continue;
		qsort_r(v + i, end[k] - i, sizeof(*v), by_class, c);
		r = choose_content(c, v + i, end[k] - i);
	}
	if (!r && c->plan.n_objects)
		qsort_r(c->plan.objects, c->plan.n_objects, sizeof(*c->plan.objects), by_keeper, c);
	return r;
}

int vu_choose_plan(const struct vu_choose_env *env, struct vu_plan *ret)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = vu_hash_new();
	_cleanup_free_ uint32_t *candidate = NULL, *end = NULL, *object = NULL, *known = NULL;
	struct chooser c = {.env = env, .t = env->tree, .hash = hash};

	if (!hash)
		return -ENOMEM;
	c.policy.mtime_exact = env->mtime_exact;
	int r = collect_candidates(env->tree, &candidate, &end);

	if (!r)
		r = collect(env->tree, is_object, &object, &c.n_objects);
	if (!r)
		r = collect(env->tree, is_known_object, &known, &c.n_known);
	if (!r) {
		c.object = object;
		c.known = known;
		qsort_r(known, c.n_known, sizeof(*known), by_content, &c);
		qsort_r(object, c.n_objects, sizeof(*object), by_key, &c);
		r = choose_all(&c, candidate, end);
	}
	if (r) {
		vu_plan_done(&c.plan);
		return r;
	}
	*ret = c.plan;
	return 0;
}
