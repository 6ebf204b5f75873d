/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive/standin.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"

#define SLOTS_MIN 1024

static struct vu_standin *at(const struct vu_standins *s, uint32_t i)
{
	return vu_chunks_at(&s->v, i);
}

int vu_standins_init(struct vu_standins *s)
{
	*s = (struct vu_standins){0};
	if (getrandom(&s->seed, sizeof(s->seed), 0) != sizeof(s->seed))
		return -EIO;
	int r = vu_chunks_init(&s->v, sizeof(struct vu_standin));

	return r ? r : vu_arena_init(&s->text);
}

void vu_standins_done(struct vu_standins *s)
{
	vu_chunks_done(&s->v);
	vu_arena_done(&s->text);
	vu_inomap_done(&s->dirs);
	free(s->slot);
	*s = (struct vu_standins){0};
}

static uint32_t hash(const struct vu_standins *s, uint64_t dir, const char *name)
{
	uint64_t h = s->seed ^ dir;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(0x9e3779b97f4a7c15) ^ h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	return (uint32_t)(h >> 32);
}

/* The slot of a name, or the free one where it would be. There is a free one. */
static uint32_t *slot_of(const struct vu_standins *s, uint64_t dir, const char *name)
{
	uint32_t i = hash(s, dir, name) & (s->slots - 1);

	for (; s->slot[i]; i = (i + 1) & (s->slots - 1)) {
		const struct vu_standin *e = at(s, s->slot[i] - 1);

		if (e->dir == dir && !strcmp(vu_arena_at(&s->text, e->name), name))
			break;
	}
	return &s->slot[i];
}

/* At most half full, with one more. */
static int make_room(struct vu_standins *s)
{
	uint32_t slots = s->slots ? s->slots : SLOTS_MIN;

	while (slots / 2 <= s->v.n)
		slots *= 2;
	if (slots == s->slots)
		return 0;
	uint32_t *slot = calloc(slots, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	free(s->slot);
	s->slot = slot;
	s->slots = slots;
	for (uint32_t i = 0; i < s->v.n; i++)
		*slot_of(s, at(s, i)->dir, vu_arena_at(&s->text, at(s, i)->name)) = i + 1;
	return 0;
}

int vu_standins_add(struct vu_standins *s, uint64_t dir, const char *name, uint32_t token)
{
	uint32_t i, text, next = VU_STANDIN_NONE;
	int r = make_room(s);
	uint32_t *slot = r ? NULL : slot_of(s, dir, name);

	if (r)
		return r;
	if (*slot) { /* was gone */
		at(s, *slot - 1)->token = token;
		return 0;
	}
	r = vu_arena_add(&s->text, name, strlen(name), &text);
	if (!r)
		r = vu_chunks_add(&s->v, 1, &i);
	if (r)
		return r;
	(void)vu_inomap_get(&s->dirs, dir, &next);
	*at(s, i) = (struct vu_standin){.dir = dir, .name = text, .token = token, .next = next};
	*slot = i + 1;
	return vu_inomap_set(&s->dirs, dir, i);
}

struct vu_standin *vu_standins_find(const struct vu_standins *s, uint64_t dir, const char *name)
{
	uint32_t i = s->slots ? *slot_of(s, dir, name) : 0;

	return i && at(s, i - 1)->token != VU_STANDIN_NONE ? at(s, i - 1) : NULL;
}

static struct vu_standin *from(const struct vu_standins *s, uint32_t i)
{
	while (i != VU_STANDIN_NONE && at(s, i)->token == VU_STANDIN_NONE)
		i = at(s, i)->next;
	return i == VU_STANDIN_NONE ? NULL : at(s, i);
}

struct vu_standin *vu_standins_first(const struct vu_standins *s, uint64_t dir)
{
	uint32_t i = VU_STANDIN_NONE;

	return vu_inomap_get(&s->dirs, dir, &i) ? from(s, i) : NULL;
}

struct vu_standin *vu_standins_next(const struct vu_standins *s, const struct vu_standin *i)
{
	return from(s, i->next);
}

void vu_standins_drop_dir(struct vu_standins *s, uint64_t dir)
{
	for (struct vu_standin *i; (i = vu_standins_first(s, dir));)
		i->token = VU_STANDIN_NONE;
}
