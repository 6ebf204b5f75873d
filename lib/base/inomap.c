/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/inomap.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* Inode numbers are dense and a guest chooses some of them: mix all bits (splitmix64's finisher). */
static uint32_t start_of(uint64_t ino, uint32_t slots)
{
	ino ^= ino >> 30;
	ino *= UINT64_C(0xbf58476d1ce4e5b9);
	ino ^= ino >> 27;
	ino *= UINT64_C(0x94d049bb133111eb);
	ino ^= ino >> 31;
	return (uint32_t)ino & (slots - 1);
}

static struct vu_inomap_slot *find(const struct vu_inomap *m, uint64_t ino)
{
	uint32_t i = start_of(ino, m->slots);

	while (m->slot[i].ino && m->slot[i].ino != ino)
		i = (i + 1) & (m->slots - 1);
	return &m->slot[i];
}

static int grow(struct vu_inomap *m)
{
	struct vu_inomap old = *m, bigger = {.n = m->n, .slots = m->slots ? m->slots * 2 : 64};

	if (!bigger.slots)
		return -ENOMEM;
	bigger.slot = calloc(bigger.slots, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < old.slots; i++)
		if (old.slot[i].ino)
			*find(&bigger, old.slot[i].ino) = old.slot[i];
	free(old.slot);
	*m = bigger;
	return 0;
}

void vu_inomap_done(struct vu_inomap *m)
{
	free(m->slot);
	*m = (struct vu_inomap){0};
}

int vu_inomap_set(struct vu_inomap *m, uint64_t ino, uint32_t value)
{
	if (m->n >= m->slots / 4 * 3) {
		int r = grow(m);

		if (r)
			return r;
	}
	struct vu_inomap_slot *s = find(m, ino);

	if (!s->ino)
		m->n++;
	*s = (struct vu_inomap_slot){.ino = ino, .value = value};
	return 0;
}

bool vu_inomap_get(const struct vu_inomap *m, uint64_t ino, uint32_t *ret_value)
{
	if (!m->slots)
		return false;
	const struct vu_inomap_slot *s = find(m, ino);

	if (!s->ino)
		return false;
	if (ret_value)
		*ret_value = s->value;
	return true;
}
