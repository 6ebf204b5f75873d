/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link/pool-listing.h"

#include <errno.h>
#include <stdlib.h>

static int add(void *arg, uint64_t ino, const struct vu_key *key)
{
	struct vu_pool_listing *l = arg;

	if (l->n == l->cap) {
		uint32_t cap = l->cap ? 2 * l->cap : 1024;
		struct vu_key *keys = reallocarray(l->keys, cap, sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		l->keys = keys;
		l->cap = cap;
	}
	l->keys[l->n] = *key;
	return vu_inomap_set(&l->by_ino, ino, l->n++);
}

int vu_pool_listing_read(struct vu_pool_listing *l, const struct vu_pool *p)
{
	return vu_pool_list(p, add, l);
}

void vu_pool_listing_done(struct vu_pool_listing *l)
{
	vu_inomap_done(&l->by_ino);
	free(l->keys);
	*l = (struct vu_pool_listing){0};
}

const struct vu_key *vu_pool_listing_find(const struct vu_pool_listing *l, uint64_t ino)
{
	uint32_t i;

	return vu_inomap_get(&l->by_ino, ino, &i) ? &l->keys[i] : NULL;
}
