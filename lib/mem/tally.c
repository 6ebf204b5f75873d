/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An entry is a content of an owner's program with the number of its pages; 20 bytes, in 256 buckets by the first
 * bits of the hash, at first one entry for each page. A bucket is put in order when memory is short, and in the end:
 * then equal entries become one, and those of one content stand side by side. As the order is made bucket by
 * bucket, what qsort(3) needs besides is a 256th of the whole.
 *
 * Short of memory: equal entries are made one; if more than half of the memory is in use still, the level rises by
 * one. Before it rises for the first time, contents with the most copies are marked to be kept whatever their hash
 * is: a single one of them can be most of what there is to gain, and would come out as nothing or as double. Later
 * none can be added to these: it would stand for itself then, and others that are not known any more for nothing.
 */
#include "mem/tally.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/cleanup.h"

#define BUCKETS 256
#define BUCKET_MIN 256 /* entries that a bucket has room for at least */
#define HEAVY_MAX 4096 /* contents that are kept whatever their hash is */
#define HEAVY_PAGES 16 /* that have so many pages at least */
#define HEAVY_SLOTS ((size_t)4 * HEAVY_MAX)
#define SIZES 33 /* of contents, by the binary logarithm of their pages */
#define LEVEL_MAX 31

struct entry {
	uint32_t hash[3];
	uint32_t n; /* pages; 0 only in a free slot of heavy */
	uint16_t owner;
	uint16_t program : 15;
	uint16_t merged : 1;
};

struct bucket {
	struct entry *v; /* owned */
	size_t n, cap;
};

struct vu_tally {
	pthread_mutex_t lock;
	struct bucket bucket[BUCKETS];
	size_t n_owners, n_programs;
	uint64_t max_entries, n_cap; /* n_cap: what all buckets have room for */
	unsigned level;
	struct entry *heavy;		/* owned; HEAVY_SLOTS, open addressing; NULL: level 0 */
	struct vu_tally_share *owner;	/* owned; pages and zero are counted here as they come */
	struct vu_tally_share *program; /* owned; the same */
	uint64_t pages, zero, merged, merged_zero;
	uint64_t *merged_zero_of; /* owned; for each owner */
	bool ended;
};

/* ---- a page's content ---- */

static bool is_zero(const void *content, size_t bytes)
{
	const char *p = content;
	uint64_t first;

	memcpy(&first, p, sizeof(first));
	return !first && !memcmp(p, p + sizeof(first), bytes - sizeof(first));
}

void vu_tally_look(const void *content, size_t bytes, struct vu_tally_page *page)
{
	page->zero = is_zero(content, bytes);
	if (page->zero) {
		memset(page->hash, 0, sizeof(page->hash));
		return;
	}
	XXH128_hash_t h = XXH3_128bits(content, bytes);

	page->hash[0] = (uint32_t)(h.high64 >> 32);
	page->hash[1] = (uint32_t)h.high64;
	page->hash[2] = (uint32_t)h.low64;
}

/* ---- order ---- */

static int by_content(const struct entry *a, const struct entry *b)
{
	for (int i = 0; i < 3; i++)
		if (a->hash[i] != b->hash[i])
			return a->hash[i] < b->hash[i] ? -1 : 1;
	return 0;
}

static int by_all(const void *x, const void *y)
{
	const struct entry *a = x, *b = y;
	int r = by_content(a, b);

	if (!r)
		r = (a->owner > b->owner) - (a->owner < b->owner);
	if (!r)
		r = (a->program > b->program) - (a->program < b->program);
	return r ? r : (int)a->merged - (int)b->merged;
}

/* Puts a bucket in order, with one entry of each kind. */
static void put_in_order(struct bucket *b)
{
	size_t n = 0;

	if (!b->n)
		return;
	qsort(b->v, b->n, sizeof(*b->v), by_all);
	for (size_t i = 1; i < b->n; i++)
		if (!by_all(&b->v[n], &b->v[i]) && b->v[n].n <= UINT32_MAX - b->v[i].n)
			b->v[n].n += b->v[i].n;
		else
			b->v[++n] = b->v[i];
	b->n = n + 1;
}

/* Where the entries of v[i]'s content end, and how many pages these are. */
static size_t content_end(const struct bucket *b, size_t i, uint64_t *ret_pages)
{
	size_t end = i;

	*ret_pages = 0;
	for (; end < b->n && !by_content(&b->v[i], &b->v[end]); end++)
		*ret_pages += b->v[end].n;
	return end;
}

/* ---- when memory is short ---- */

static struct entry *heavy_slot(const struct vu_tally *t, const struct entry *e)
{
	size_t i = e->hash[1] % HEAVY_SLOTS;

	while (t->heavy[i].n && by_content(&t->heavy[i], e))
		i = (i + 1) % HEAVY_SLOTS;
	return &t->heavy[i];
}

static bool is_heavy(const struct vu_tally *t, const struct entry *e)
{
	return t->heavy && heavy_slot(t, e)->n;
}

static bool is_kept(const struct vu_tally *t, const struct entry *e)
{
	return !(e->hash[2] & ((UINT32_C(1) << t->level) - 1)) || is_heavy(t, e);
}

static unsigned size_of(uint64_t pages)
{
	unsigned s = 63 - (unsigned)__builtin_clzll(pages);

	return VU_MIN(s, SIZES - 1u);
}

/* The least number of pages that at most HEAVY_MAX contents have. */
static uint64_t heavy_pages(const struct vu_tally *t)
{
	uint64_t contents[SIZES] = {0}, sum = 0, pages;
	unsigned size = SIZES - 1;

	for (size_t b = 0; b < BUCKETS; b++)
		for (size_t i = 0; i < t->bucket[b].n;) {
			i = content_end(&t->bucket[b], i, &pages);
			contents[size_of(pages)]++;
		}
	for (; size; size--) {
		sum += contents[size];
		if (sum > HEAVY_MAX)
			break;
	}
	return VU_MAX(UINT64_C(1) << (size + 1), (uint64_t)HEAVY_PAGES);
}

static int mark_heavy(struct vu_tally *t)
{
	uint64_t least = heavy_pages(t), pages;

	t->heavy = calloc(HEAVY_SLOTS, sizeof(*t->heavy));
	if (!t->heavy)
		return -ENOMEM;
	for (size_t b = 0; b < BUCKETS; b++)
		for (size_t i = 0; i < t->bucket[b].n;) {
			const struct entry *e = &t->bucket[b].v[i];

			i = content_end(&t->bucket[b], i, &pages);
			if (pages >= least) {
				struct entry *slot = heavy_slot(t, e);

				*slot = *e;
				slot->n = 1;
			}
		}
	return 0;
}

static void drop_others(struct vu_tally *t)
{
	for (size_t b = 0; b < BUCKETS; b++) {
		struct bucket *k = &t->bucket[b];
		size_t n = 0;

		for (size_t i = 0; i < k->n; i++)
			if (is_kept(t, &k->v[i]))
				k->v[n++] = k->v[i];
		k->n = n;
	}
}

/* Gives back what the buckets have too much. */
static void trim(struct vu_tally *t)
{
	t->n_cap = 0;
	for (size_t b = 0; b < BUCKETS; b++) {
		struct bucket *k = &t->bucket[b];
		size_t cap = VU_MAX(k->n, (size_t)BUCKET_MIN);
		struct entry *v = cap < k->cap ? reallocarray(k->v, cap, sizeof(*v)) : NULL;

		if (v) {
			k->v = v;
			k->cap = cap;
		}
		t->n_cap += k->cap;
	}
}

static uint64_t n_entries(const struct vu_tally *t)
{
	uint64_t n = 0;

	for (size_t b = 0; b < BUCKETS; b++)
		n += t->bucket[b].n;
	return n;
}

static int make_room(struct vu_tally *t)
{
	int r = 0;

	for (size_t b = 0; b < BUCKETS; b++)
		put_in_order(&t->bucket[b]);
	while (!r && n_entries(t) > t->max_entries / 2 && t->level < LEVEL_MAX) {
		if (!t->level)
			r = mark_heavy(t);
		t->level++;
		drop_others(t);
	}
	trim(t);
	return r;
}

/* ---- adding ---- */

static int grow(struct vu_tally *t, struct bucket *b)
{
	size_t more = VU_MAX(b->cap / 4, (size_t)BUCKET_MIN);

	if (t->n_cap + more > t->max_entries && b->cap) {
		int r = make_room(t);

		if (r || b->n < b->cap)
			return r;
		more = BUCKET_MIN;
	}
	struct entry *v = reallocarray(b->v, b->cap + more, sizeof(*v));

	if (!v)
		return -ENOMEM;
	b->v = v;
	b->cap += more;
	t->n_cap += more;
	return 0;
}

static int add_entry(struct vu_tally *t, const struct entry *e)
{
	struct bucket *b = &t->bucket[e->hash[0] >> 24];
	int r = 0;

	if (!is_kept(t, e))
		return 0;
	if (b->n == b->cap)
		r = grow(t, b);
	/* room may have been made by leaving out what this one is */
	if (!r && is_kept(t, e))
		b->v[b->n++] = *e;
	return r;
}

static int add(struct vu_tally *t, const struct vu_tally_page *p)
{
	t->pages++;
	t->owner[p->owner].pages++;
	t->program[p->program].pages++;
	t->merged += p->merged;
	if (!p->zero)
		return add_entry(t, &(struct entry){
					    .hash = {p->hash[0], p->hash[1], p->hash[2]},
					    .n = 1,
					    .owner = p->owner,
					    .program = p->program & 0x7fff,
					    .merged = p->merged,
				    });
	t->zero++;
	t->owner[p->owner].zero++;
	t->program[p->program].zero++;
	t->merged_zero += p->merged;
	t->merged_zero_of[p->owner] += p->merged;
	return 0;
}

int vu_tally_add(struct vu_tally *t, const struct vu_tally_page *pages, size_t n)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; !r && !t->ended && i < n; i++)
		r = add(t, &pages[i]);
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* ---- the sum ---- */

/*
 * How many of n pages with the same content can be freed. Of these, merged are places of KSM already: one is full
 * when max_sharing pages are merged to it, so there are more of them where that is so, and they stay.
 */
static uint64_t can_free(uint64_t n, uint64_t merged, const struct vu_tally_rules *r)
{
	uint64_t alone = n - merged;

	if (!alone)
		return 0;
	if (!r->max_sharing)
		return merged ? alone : alone - 1;
	return alone - (merged ? alone / r->max_sharing : (alone - 1) / r->max_sharing + 1);
}

struct adding {
	const struct vu_tally_rules *rules;
	struct vu_tally_sum *sum;
};

/* The entries v[0 .. n-1] of one content, in order, each of which stands for weight of its kind. */
static void add_content(const struct adding *a, const struct entry *v, size_t n, uint64_t pages,
			uint64_t weight)
{
	struct vu_tally_sum *s = a->sum;
	uint64_t merged = 0, inside = 0, freed;

	for (size_t i = 0; i < n; i++)
		merged += v[i].merged ? v[i].n : 0;
	freed = can_free(pages, merged, a->rules);
	for (size_t i = 0; i < n;) {
		struct vu_tally_share *o = &s->owner[v[i].owner];
		uint64_t own = 0, own_merged = 0;
		size_t k = i;

		for (; k < n && v[k].owner == v[i].owner; k++) {
			struct vu_tally_share *p = &s->program[v[k].program];

			own += v[k].n;
			own_merged += v[k].merged ? v[k].n : 0;
			p->identical += pages > 1 ? v[k].n * weight : 0;
			p->freed += (double)(freed * weight) * v[k].n / (double)pages;
		}
		o->identical += pages > 1 ? own * weight : 0;
		o->inside += can_free(own, own_merged, a->rules) * weight;
		o->freed += (double)(freed * weight) * (double)own / (double)pages;
		inside += can_free(own, own_merged, a->rules);
		i = k;
	}
	s->distinct += weight;
	s->identical += pages > 1 ? pages * weight : 0;
	s->freed += freed * weight;
	s->freed_inside += inside * weight;
}

static uint64_t can_free_zero(uint64_t n, uint64_t merged, const struct vu_tally_rules *r)
{
	if (r->zero_kept_free)
		return 0;
	return r->zero_free ? n : can_free(n, merged, r);
}

/* Of pages of zeros there are only numbers. */
static void add_zero(const struct vu_tally *t, const struct adding *a)
{
	struct vu_tally_sum *s = a->sum;
	uint64_t freed = can_free_zero(t->zero, t->merged_zero, a->rules);

	for (size_t i = 0; i < t->n_owners; i++) {
		struct vu_tally_share *o = &s->owner[i];
		uint64_t inside = can_free_zero(o->zero, t->merged_zero_of[i], a->rules);

		o->identical += t->zero > 1 ? o->zero : 0;
		o->inside += inside;
		o->freed += t->zero ? (double)freed * (double)o->zero / (double)t->zero : 0;
		s->freed_inside += inside;
	}
	for (size_t i = 0; i < t->n_programs; i++) {
		struct vu_tally_share *p = &s->program[i];

		p->identical += t->zero > 1 ? p->zero : 0;
		p->freed += t->zero ? (double)freed * (double)p->zero / (double)t->zero : 0;
	}
	s->distinct += t->zero > 0;
	s->identical += t->zero > 1 ? t->zero : 0;
	s->freed += freed;
	s->freed_zero = freed;
}

void vu_tally_end(struct vu_tally *t, const struct vu_tally_rules *rules, struct vu_tally_sum *ret)
{
	pthread_mutex_lock(&t->lock);
	t->ended = true;
	pthread_mutex_unlock(&t->lock);

	struct vu_tally_sum s = {
		.pages = t->pages,
		.zero = t->zero,
		.merged = t->merged,
		.level = t->level,
		.owner = t->owner,
		.program = t->program,
	};
	const struct adding a = {rules, &s};

	t->owner = t->program = NULL; /* they are the caller's now */

	add_zero(t, &a);
	for (size_t b = 0; b < BUCKETS; b++) {
		struct bucket *k = &t->bucket[b];
		uint64_t pages;

		put_in_order(k);
		for (size_t i = 0, end; i < k->n; i = end) {
			end = content_end(k, i, &pages);
			add_content(&a, &k->v[i], end - i, pages,
				    is_heavy(t, &k->v[i]) ? 1 : UINT64_C(1) << t->level);
		}
	}
	*ret = s;
}

void vu_tally_sum_done(struct vu_tally_sum *s)
{
	free(s->owner);
	free(s->program);
	*s = (struct vu_tally_sum){0};
}

int vu_tally_new(uint64_t max_bytes, size_t n_owners, size_t n_programs, struct vu_tally **ret)
{
	struct vu_tally *t;

	if (n_owners > VU_TALLY_OWNERS_MAX || n_programs > VU_TALLY_PROGRAMS_MAX)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	t->n_owners = n_owners;
	t->n_programs = n_programs;
	t->max_entries = VU_MAX(max_bytes, VU_TALLY_BYTES_MIN) / sizeof(struct entry);
	t->owner = calloc(n_owners + 1, sizeof(*t->owner));
	t->program = calloc(n_programs + 1, sizeof(*t->program));
	t->merged_zero_of = calloc(n_owners + 1, sizeof(*t->merged_zero_of));
	if (!t->owner || !t->program || !t->merged_zero_of) {
		vu_tally_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

struct vu_tally *vu_tally_free(struct vu_tally *t)
{
	if (!t)
		return NULL;
	for (size_t b = 0; b < BUCKETS; b++)
		free(t->bucket[b].v);
	free(t->heavy);
	free(t->owner);
	free(t->program);
	free(t->merged_zero_of);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}
