/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each frame has the number of a set of guests, 0 while nobody has it. Sets are a tree: a set is another one, its
 * parent, and one guest more. Which guest came first is no matter: two numbers may be of the same guests, as what
 * is counted by set is summed up by guest in the end. There are two roots, for frames of files and for anonymous
 * ones.
 *
 * What a frame is beyond that (of zeros, which cost nothing; a huge page set apart) says kpageflags; it is read in
 * the end, in blocks, in the order of frames: so it takes a call for 512 frames instead of one for each.
 */
#include "mem/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/stop.h"
#include "base/watched.h"
#include "mem/shared-swap.h"

#define SETS_MAX (1 << 18)
#define SLOTS ((size_t)2 * SETS_MAX)
#define BLOCK 512 /* frames whose flags are read at once */
#define GAP 8	  /* frames that are read for nothing rather than by a call of their own */
#define RECENT 1024
#define FILE_ROOT 1
#define ANON_ROOT 2
#define PFN_BITS 40

struct set {
	uint32_t parent;
	uint16_t guest;
	uint16_t size; /* guests in it */
	uint64_t frames;
};

/* Shared by the child and its parent. */
struct counted {
	_Atomic uint64_t progress;
	size_t now; /* the guest at hand */
	uint32_t n_sets;
	bool truncated;
	struct set set[SETS_MAX];
	uint32_t slot[SLOTS]; /* open addressing: (parent, guest) -> set */
};

struct vu_pages {
	struct vu_frames frames;
	size_t n_guests;
	uint64_t n_frames;	      /* of the machine */
	struct counted *counted;      /* owned; shared */
	struct vu_pages_guest *guest; /* owned; shared: what is counted by process */
	uint32_t *of_frame;	      /* owned; shared: the set of each */
	uint8_t *seen;		      /* owned; shared: blocks with frames that have one */
	/* of the child: sets that the guest at hand was added to, and what they became */
	uint32_t recent[RECENT][2];
	struct vu_shared_swap *swap; /* owned; of the child, too */
};

static size_t blocks(const struct vu_pages *p)
{
	return (size_t)(p->n_frames / BLOCK + 1);
}

/* kpageflags ends with the last frame there is. */
static uint64_t count_frames(const struct vu_frames *f)
{
	uint64_t low = 0, high = UINT64_C(1) << PFN_BITS, flags;

	while (low + 1 < high) {
		uint64_t mid = low + (high - low) / 2;

		if (vu_frames_flags(f, mid, &flags, 1) > 0)
			low = mid;
		else
			high = mid;
	}
	return high;
}

static void begin(struct vu_pages *p)
{
	/* 0 is no set */
	p->counted->n_sets = ANON_ROOT + 1;
	p->counted->now = SIZE_MAX;
}

int vu_pages_new(size_t n_guests, struct vu_pages **ret)
{
	struct vu_pages *p = calloc(1, sizeof(*p));
	int r = p ? vu_frames_open(&p->frames) : -ENOMEM;

	if (!r && n_guests > VU_PAGES_MAX_GUESTS)
		r = -E2BIG;
	if (!r && p->frames.kpageflags < 0)
		r = -ENOENT;
	if (!r)
		r = vu_shared_swap_new(&p->swap);
	if (!r) {
		p->n_guests = n_guests;
		p->n_frames = count_frames(&p->frames);
		p->counted = vu_watched_memory(sizeof(*p->counted));
		p->guest = vu_watched_memory((n_guests + 1) * sizeof(*p->guest));
		p->of_frame = vu_watched_memory((size_t)p->n_frames * sizeof(*p->of_frame));
		p->seen = vu_watched_memory(blocks(p));
		if (!p->counted || !p->guest || !p->of_frame || !p->seen)
			r = -ENOMEM;
	}
	if (r) {
		vu_pages_free(p);
		return r;
	}
	begin(p);
	*ret = p;
	return 0;
}

struct vu_pages *vu_pages_free(struct vu_pages *p)
{
	if (!p)
		return NULL;
	vu_frames_close(&p->frames);
	vu_shared_swap_free(p->swap);
	if (p->counted)
		munmap(p->counted, sizeof(*p->counted));
	if (p->guest)
		munmap(p->guest, (p->n_guests + 1) * sizeof(*p->guest));
	if (p->of_frame)
		munmap(p->of_frame, (size_t)p->n_frames * sizeof(*p->of_frame));
	if (p->seen)
		munmap(p->seen, blocks(p));
	free(p);
	return NULL;
}

void vu_pages_clear(struct vu_pages *p)
{
	vu_watched_clear(p->counted, sizeof(*p->counted));
	vu_watched_clear(p->guest, (p->n_guests + 1) * sizeof(*p->guest));
	vu_watched_clear(p->of_frame, (size_t)p->n_frames * sizeof(*p->of_frame));
	vu_watched_clear(p->seen, blocks(p));
	begin(p);
}

const _Atomic uint64_t *vu_pages_progress(const struct vu_pages *p)
{
	return &p->counted->progress;
}

size_t vu_pages_guest_at_hand(const struct vu_pages *p)
{
	return p->counted->now;
}

size_t vu_pages_page_bytes(const struct vu_pages *p)
{
	return p->frames.page;
}

/* ---- sets ---- */

static bool has_guest(const struct counted *c, uint32_t set, size_t guest)
{
	for (; c->set[set].size; set = c->set[set].parent)
		if (c->set[set].guest == guest)
			return true;
	return false;
}

/* The set of this one and the guest, which it has not. */
static uint32_t with_guest(struct counted *c, uint32_t parent, size_t guest)
{
	uint64_t h = ((uint64_t)parent << 16 | guest) * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t *slot = &c->slot[h >> 45];

	while (*slot) {
		if (c->set[*slot].parent == parent && c->set[*slot].guest == guest)
			return *slot;
		slot = slot + 1 < c->slot + SLOTS ? slot + 1 : c->slot;
	}
	if (c->n_sets == SETS_MAX) {
		c->truncated = true;
		return parent;
	}
	c->set[c->n_sets] = (struct set){
		.parent = parent,
		.guest = (uint16_t)guest,
		.size = (uint16_t)(c->set[parent].size + 1),
	};
	*slot = c->n_sets;
	return c->n_sets++;
}

static uint32_t add_to(struct vu_pages *p, uint32_t set)
{
	uint32_t *recent = p->recent[set % RECENT];

	if (recent[0] != set) {
		recent[1] = has_guest(p->counted, set, p->counted->now)
				    ? set
				    : with_guest(p->counted, set, p->counted->now);
		recent[0] = set;
	}
	return recent[1];
}

/* ---- adding ---- */

static int on_pages(void *arg, const struct vu_map *m, uint64_t address, uint64_t *entry, size_t n)
{
	struct vu_pages *p = arg;
	struct vu_pages_guest *g = &p->guest[p->counted->now];

	(void)m;
	(void)address;
	p->counted->progress++;
	for (size_t i = 0; i < n; i++) {
		uint64_t frame = vu_frame_number(entry[i]);

		if (vu_frame_is_swapped(entry[i])) {
			g->swapped++;
			continue;
		}
		if (!vu_frame_is_present(entry[i]) || !frame || frame >= p->n_frames)
			continue;
		g->mapped++;
		if (!p->of_frame[frame]) {
			p->seen[frame / BLOCK] = 1;
			p->of_frame[frame] = vu_frame_is_file(entry[i]) ? FILE_ROOT : ANON_ROOT;
		}
		p->of_frame[frame] = add_to(p, p->of_frame[frame]);
	}
	return 0;
}

static int add_shared_swap(struct vu_pages *p, struct vu_pages_guest *g, int task_fd)
{
	uint64_t before = g->swapped_shared;
	int r = vu_shared_swap_add(p->swap, p->counted->now, task_fd, &p->counted->progress,
				   &g->swapped_shared);

	g->swapped += g->swapped_shared - before;
	return r;
}

int vu_pages_add(struct vu_pages *p, size_t guest, int task_fd)
{
	if (p->counted->now != guest)
		memset(p->recent, 0, sizeof(p->recent));
	p->counted->now = guest;
	p->counted->progress++;
	int r = vu_frames_process(&p->frames, task_fd, on_pages, p);

	if (r == -ENOENT || r == -ESRCH || r == -EACCES || r == -EPERM)
		return 0;
	p->guest[guest].processes++;
	return r ? r : add_shared_swap(p, &p->guest[guest], task_fd);
}

/* ---- sums ---- */

/* Counts n frames from first on, of which those without a set have no flags that matter. */
static int count_frames_of(struct vu_pages *p, uint64_t first, size_t n, struct vu_pages_total *t)
{
	uint64_t flags[BLOCK];
	long got = vu_frames_flags(&p->frames, first, flags, n);

	for (long i = 0; i < got; i++) {
		uint32_t set = p->of_frame[first + (uint64_t)i];

		if (!set || vu_frame_has(flags[i], VU_FRAME_ZERO) ||
		    vu_frame_has(flags[i], VU_FRAME_NOPAGE))
			continue;
		if (vu_frame_has(flags[i], VU_FRAME_HUGETLB))
			t->hugetlb++;
		else
			p->counted->set[set].frames++;
	}
	return got < 0 ? (int)got : 0;
}

static int count_block(struct vu_pages *p, size_t block, struct vu_pages_total *t)
{
	uint64_t first = (uint64_t)block * BLOCK, end = VU_MIN(first + BLOCK, p->n_frames);
	int r = 0;

	for (uint64_t i = first; !r && i < end;) {
		uint64_t last = i;

		if (!p->of_frame[i]) {
			i++;
			continue;
		}
		/* a call costs as much as some ten frames */
		for (uint64_t k = i; k < end && k - last <= GAP; k++)
			last = p->of_frame[k] ? k : last;
		r = count_frames_of(p, i, (size_t)(last + 1 - i), t);
		i = last + 1;
	}
	return r;
}

static uint32_t root_of(const struct counted *c, uint32_t set)
{
	while (c->set[set].size)
		set = c->set[set].parent;
	return set;
}

static void count_set(const struct counted *c, uint32_t i, struct vu_pages_guest *guests,
		      struct vu_pages_total *t)
{
	const struct set *s = &c->set[i];
	bool file = root_of(c, i) == FILE_ROOT;

	if (file) {
		t->file += s->frames;
		t->file_shared += s->size > 1 ? s->frames : 0;
	} else {
		t->anon += s->frames;
	}
	for (uint32_t k = i; c->set[k].size; k = c->set[k].parent) {
		struct vu_pages_guest *g = &guests[c->set[k].guest];
		double fair = (double)s->frames / s->size;

		g->file_own += file && s->size == 1 ? s->frames : 0;
		g->file_shared += file && s->size > 1 ? s->frames : 0;
		g->file_fair += file ? fair : 0;
		g->anon += file ? 0 : s->frames;
		g->anon_fair += file ? 0 : fair;
	}
}

int vu_pages_sum(struct vu_pages *p, struct vu_pages_guest *ret_guests,
		 struct vu_pages_total *ret_total)
{
	struct counted *c = p->counted;
	struct vu_pages_total t = {.truncated = c->truncated};
	int r = 0;

	for (size_t i = 0; !r && i < blocks(p); i++) {
		if (p->seen[i])
			r = count_block(p, i, &t);
		if (!r && vu_stop_requested())
			r = -ECANCELED;
	}
	if (r)
		return r;
	memcpy(ret_guests, p->guest, p->n_guests * sizeof(*ret_guests));
	for (uint32_t i = 0; i < c->n_sets; i++)
		if (c->set[i].frames)
			count_set(c, i, ret_guests, &t);
	*ret_total = t;
	return 0;
}
