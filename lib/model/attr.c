/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/attr.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/chunks.h"

struct vu_attrs {
	pthread_mutex_t lock;
	struct vu_chunks values; /* struct vu_attr */
	uint32_t *slot;		 /* open addressing: value -> number + 1 */
	uint32_t slots;		 /* power of two */
};

struct vu_attrs *vu_attrs_new(void)
{
	struct vu_attrs *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	pthread_mutex_init(&a->lock, NULL);
	a->slots = 256;
	a->slot = calloc(a->slots, sizeof(*a->slot));
	if (!a->slot || vu_chunks_init(&a->values, sizeof(struct vu_attr)))
		return vu_attrs_free(a);
	return a;
}

struct vu_attrs *vu_attrs_free(struct vu_attrs *a)
{
	if (!a)
		return NULL;
	vu_chunks_done(&a->values);
	free(a->slot);
	pthread_mutex_destroy(&a->lock);
	free(a);
	return NULL;
}

static bool equal(const struct vu_attr *a, const struct vu_attr *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->flags == b->flags &&
	       a->full == b->full && a->has_xattrs == b->has_xattrs && a->has_caps == b->has_caps &&
	       !memcmp(&a->xattrs, &b->xattrs, sizeof(a->xattrs));
}

static uint32_t *find(const struct vu_attrs *a, const struct vu_attr *v)
{
	uint32_t word, i;

	memcpy(&word, v->xattrs.b, sizeof(word));
	i = v->mode * UINT32_C(0x9e3779b1) ^ v->uid * UINT32_C(0x85ebca6b) ^
	    v->gid * UINT32_C(0xc2b2ae35) ^ v->flags ^ word ^ (uint32_t)v->full << 7;
	i ^= i >> 15;
	for (i &= a->slots - 1; a->slot[i]; i = (i + 1) & (a->slots - 1))
		if (equal(vu_chunks_at(&a->values, a->slot[i] - 1), v))
			break;
	return &a->slot[i];
}

static int grow(struct vu_attrs *a)
{
	uint32_t *slot = calloc((size_t)a->slots * 2, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	free(a->slot);
	a->slot = slot;
	a->slots *= 2;
	for (uint32_t i = 0; i < a->values.n; i++)
		*find(a, vu_chunks_at(&a->values, i)) = i + 1;
	return 0;
}

static int intern(struct vu_attrs *a, const struct vu_attr *v, uint32_t *ret_n)
{
	int r = a->values.n >= a->slots / 2 ? grow(a) : 0;

	if (r)
		return r;
	uint32_t *slot = find(a, v), i;

	if (!*slot) {
		r = vu_chunks_add(&a->values, 1, &i);
		if (r)
			return r;
		*(struct vu_attr *)vu_chunks_at(&a->values, i) = *v;
		*slot = i + 1;
	}
	*ret_n = *slot - 1;
	return 0;
}

int vu_attrs_intern(struct vu_attrs *a, const struct vu_attr *v, uint32_t *ret_n)
{
	pthread_mutex_lock(&a->lock);
	int r = intern(a, v, ret_n);

	pthread_mutex_unlock(&a->lock);
	return r;
}

const struct vu_attr *vu_attrs_at(const struct vu_attrs *a, uint32_t n)
{
	return vu_chunks_at(&a->values, n);
}

uint32_t vu_attrs_count(const struct vu_attrs *a)
{
	return a->values.n;
}
