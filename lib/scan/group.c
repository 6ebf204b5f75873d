/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Candidates are sorted as 64-bit words: a hash of what must be equal above the inode's number, so
 * that a million of them take 8 MiB and some ten milliseconds, and members of a group come out in
 * the order of the walk. What collides in the hash is told apart by comparing the fields.
 */
#include "scan/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/inomap.h"

#define INDEX_BITS 30 /* vu_chunks hold at most 2^30 records */
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)

/* What must be equal. */
struct same {
	uint64_t size;
	uint64_t mtime_ns;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t fs;
};

struct grouping {
	const struct vu_walk_env *env;
	struct vu_tree *t;
	bool with_mtime;
	uint64_t *word; /* owned */
	size_t n;
	uint32_t first_guest; /* of a group: 0 none yet, VU_NONE several, else guest + 1 */
	struct vu_groups out;
	size_t n_member;
	size_t cap_start;
};

static struct same same_of(const struct grouping *g, const struct vu_inode *n)
{
	const struct vu_attr *a = vu_attrs_at(g->t->attrs, n->attr);

	return (struct same){
		.size = n->size,
		.mtime_ns = g->with_mtime ? n->mtime_ns : 0,
		.mode = a->mode,
		.uid = a->uid,
		.gid = a->gid,
		.fs = g->env->shares ? g->env->shares[n->fs] : n->fs,
	};
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static uint64_t hash_of(const struct same *s)
{
	uint64_t h = mix(0, s->size);

	h = mix(h, s->mtime_ns);
	h = mix(h, (uint64_t)s->mode << 32 | s->fs);
	return mix(h, (uint64_t)s->uid << 32 | s->gid) * UINT64_C(0xbf58476d1ce4e5b9);
}

static bool is_candidate(const struct vu_inode *n)
{
	if (n->flags & VU_INODE_OBJECT)
		return n->attr != VU_NONE && n->fate != VU_GONE;
	return n->skip == VU_SKIP_NONE && n->fate != VU_GONE && n->fate != VU_UNSEEN;
}

static int candidates(struct grouping *g)
{
	size_t n = 0;

	for (uint32_t i = 0; i < g->t->inodes.n; i++)
		n += is_candidate(vu_tree_inode(g->t, i));
	g->word = calloc(n + 1, sizeof(*g->word));
	if (!g->word)
		return -ENOMEM;
	for (uint32_t i = 0; i < g->t->inodes.n; i++) {
		const struct vu_inode *in = vu_tree_inode(g->t, i);

		if (!is_candidate(in))
			continue;
		struct same s = same_of(g, in);

		g->word[g->n++] = (hash_of(&s) & ~INDEX_MASK) | i;
	}
	return 0;
}

static void sort_few(uint64_t *w, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint64_t x = w[i];
		size_t j = i;

		for (; j && w[j - 1] > x; j--)
			w[j] = w[j - 1];
		w[j] = x;
	}
}

/* In place, by one byte after the other from the top (American flag sort): no second array. */
static void sort_words(uint64_t *w, size_t n, int shift)
{
	size_t end[256] = {0}, at[256];

	if (n < 48) {
		sort_few(w, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		end[w[i] >> shift & 255]++;
	for (size_t b = 0, sum = 0; b < 256; b++) {
		at[b] = sum;
		sum += end[b];
		end[b] = sum;
	}
	for (size_t b = 0; b < 256; b++)
		while (at[b] < end[b]) {
			size_t to = w[at[b]] >> shift & 255;
			uint64_t x = w[at[b]];

			w[at[b]] = w[at[to]];
			w[at[to]++] = x;
		}
	for (size_t b = 0; shift && b < 256; b++) {
		size_t from = b ? end[b - 1] : 0;

		if (end[b] - from > 1)
			sort_words(w + from, end[b] - from, shift - 8);
	}
}

static int by_fields(const void *a, const void *b, void *arg)
{
	const struct grouping *g = arg;
	uint64_t x = *(const uint64_t *)a & INDEX_MASK, y = *(const uint64_t *)b & INDEX_MASK;
	struct same s = same_of(g, vu_tree_inode(g->t, (uint32_t)x));
	struct same t = same_of(g, vu_tree_inode(g->t, (uint32_t)y));
	int r = memcmp(&s, &t, sizeof(s));

	return r ? r : (x > y) - (x < y);
}

static struct vu_inode *inode_at(const struct grouping *g, size_t i)
{
	return vu_tree_inode(g->t, (uint32_t)(g->word[i] & INDEX_MASK));
}

bool vu_group_must_read(const struct vu_tree *t, const struct vu_inode *n)
{
	return n->content == VU_NONE || !vu_attrs_at(t->attrs, n->attr)->full;
}

/* Notes in which guests the members are; true: there is an object among them. */
static bool note_guests(struct grouping *g, size_t from, size_t to)
{
	bool object = false;

	g->first_guest = 0;
	for (size_t i = from; i < to; i++) {
		const struct vu_inode *n = inode_at(g, i);

		if (n->flags & VU_INODE_OBJECT) {
			object = true;
			continue;
		}
		g->first_guest = !g->first_guest || g->first_guest == n->guest + 1U ? n->guest + 1U
										    : VU_NONE;
	}
	return object;
}

static int start_add(struct grouping *g)
{
	if (g->out.n + 2 > g->cap_start) {
		size_t cap = g->cap_start ? g->cap_start * 2 : 1024;
		uint32_t *s = reallocarray(g->out.start, cap, sizeof(*s));

		if (!s)
			return -ENOMEM;
		g->out.start = s;
		g->cap_start = cap;
	}
	g->out.start[g->out.n] = (uint32_t)g->n_member;
	return 0;
}

/* Ends the group that was begun by start_add, unless nothing of it need be read. */
static void group_end(struct grouping *g, uint64_t files, uint64_t size)
{
	if (!files) {
		g->n_member = g->out.start[g->out.n];
		return;
	}
	g->out.n++;
	g->out.n_files += files;
	g->out.bytes += files * size;
}

/*
 * Members without a partner in another guest are left out. One in another domain counts: it is read to
 * be told that only the domain stands between.
 */
static bool has_partner(const struct grouping *g, const struct vu_inode *n, bool object)
{
	return object || n->flags & VU_INODE_OBJECT || g->first_guest == VU_NONE;
}

/*
 * Could something be linked here? Yes where a content is not known (an object's too: a run that did not
 * come to its end made it), or where the catalog says that two members are equal in all of the key.
 */
static int may_link(const struct grouping *g, size_t from, size_t to, bool object, bool *ret_may)
{
	struct vu_inomap seen = {0};
	int r = 0;

	*ret_may = false;
	for (size_t i = from; !r && !*ret_may && i < to; i++) {
		const struct vu_inode *n = inode_at(g, i);
		uint32_t who = n->flags & VU_INODE_OBJECT ? VU_NONE : n->guest, other;

		if (!has_partner(g, n, object))
			continue;
		if (vu_group_must_read(g->t, n)) {
			*ret_may = true;
			continue;
		}
		uint64_t h =
			mix(mix(n->content, n->attr), g->env->mtime_exact ? n->mtime_ns : 0) | 1;

		if (vu_inomap_get(&seen, h, &other))
			*ret_may = other != who;
		else
			r = vu_inomap_set(&seen, h, who);
	}
	vu_inomap_done(&seen);
	return r;
}

/*
 * The catalog decides what need not be read; it never decides a link. So what could be linked is read
 * in this run, whatever the catalog says that it holds. (But for an estimate, which links nothing.)
 */
static int distrust(const struct grouping *g, size_t from, size_t to, bool object)
{
	bool may;
	int r = may_link(g, from, to, object, &may);

	for (size_t i = from; !r && may && i < to; i++) {
		struct vu_inode *n = inode_at(g, i);

		if (!(n->flags & (VU_INODE_OBJECT | VU_INODE_READ | VU_INODE_BELIEVED)) &&
		    has_partner(g, n, object))
			n->content = VU_NONE;
	}
	return r;
}

/* Makes a group of those among equal candidates that have a partner. */
static int group_add(struct grouping *g, size_t from, size_t to)
{
	bool object = note_guests(g, from, to);
	uint64_t files = 0, size = inode_at(g, from)->size;
	int r = distrust(g, from, to, object);

	if (!r)
		r = start_add(g);
	for (size_t i = from; !r && i < to; i++) {
		struct vu_inode *n = inode_at(g, i);

		if (!has_partner(g, n, object)) {
			n->skip = VU_SKIP_UNIQUE;
			continue;
		}
		files += vu_group_must_read(g->t, n);
		g->out.member[g->n_member++] = (uint32_t)(g->word[i] & INDEX_MASK);
		if (g->n_member - g->out.start[g->out.n] == VU_GROUP_MAX) {
			group_end(g, files, size);
			files = 0;
			r = start_add(g);
		}
	}
	if (r)
		return r;
	group_end(g, files, size);
	return 0;
}

static bool all_same(const struct grouping *g, size_t from, size_t to)
{
	struct same s = same_of(g, inode_at(g, from));

	for (size_t i = from + 1; i < to; i++) {
		struct same t = same_of(g, inode_at(g, i));

		if (memcmp(&s, &t, sizeof(s)))
			return false;
	}
	return true;
}

/* Candidates with the same hash. */
static int run_add(struct grouping *g, size_t from, size_t to)
{
	int r = 0;

	if (all_same(g, from, to))
		return group_add(g, from, to);
	qsort_r(g->word + from, to - from, sizeof(*g->word), by_fields, g);
	for (size_t i = from; !r && i < to;) {
		struct same s = same_of(g, inode_at(g, i)), t = s;
		size_t end = i;

		while (!memcmp(&s, &t, sizeof(s)) && ++end < to)
			t = same_of(g, inode_at(g, end));
		r = group_add(g, i, end);
		i = end;
	}
	return r;
}

static int groups_make(struct grouping *g)
{
	int r = candidates(g);

	if (r)
		return r;
	g->out.member = malloc((g->n + 1) * sizeof(*g->out.member));
	if (!g->out.member)
		return -ENOMEM;
	sort_words(g->word, g->n, 56);
	for (size_t i = 0, end; !r && i < g->n; i = end) {
		for (end = i + 1; end < g->n && !((g->word[i] ^ g->word[end]) >> INDEX_BITS);)
			end++;
		r = run_add(g, i, end);
	}
	return r ? r : start_add(g);
}

int vu_group_run(const struct vu_walk_env *env, struct vu_tree *t, bool with_mtime,
		 struct vu_groups *ret)
{
	struct grouping g = {.env = env, .t = t, .with_mtime = with_mtime};
	int r = groups_make(&g);

	free(g.word);
	if (r)
		vu_groups_done(&g.out);
	else
		*ret = g.out;
	return r;
}

void vu_groups_done(struct vu_groups *g)
{
	free(g->member);
	free(g->start);
	*g = (struct vu_groups){0};
}
