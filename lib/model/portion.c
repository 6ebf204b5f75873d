/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/portion.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static int number(const char **s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (**s < '0' || **s > '9')
		return -EINVAL;
	for (; **s >= '0' && **s <= '9'; ++*s) {
		v = 10 * v + (uint64_t)(**s - '0');
		if (v > max)
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

int vu_subset_parse(const char *s, struct vu_subset *ret)
{
	uint64_t k, n;

	if (number(&s, UINT32_MAX, &k) || *s++ != '/' || number(&s, UINT32_MAX, &n) || *s || !k ||
	    k > n)
		return -EINVAL;
	*ret = (struct vu_subset){.k = (uint32_t)k, .n = (uint32_t)n};
	return 0;
}

static uint64_t bits(const struct vu_key *key, size_t from)
{
	uint64_t v = 0;

	for (size_t i = from; i < from + sizeof(v); i++)
		v = v << 8 | key->hash.b[i];
	return v;
}

/* By other bits than the place: a subset is spread over all places. */
bool vu_subset_has(const struct vu_subset *s, const struct vu_key *key)
{
	return s->n <= 1 || bits(key, sizeof(uint64_t)) % s->n == s->k - 1;
}

uint64_t vu_place_of(const struct vu_key *key)
{
	return VU_MAX(bits(key, 0) >> 1, UINT64_C(1));
}

int vu_place_compare(const struct vu_key *a, const struct vu_key *b)
{
	int r = memcmp(&a->hash, &b->hash, sizeof(a->hash));

	return r ? r : (a->generation > b->generation) - (a->generation < b->generation);
}

int vu_duration_parse(const char *s, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
	uint64_t v;
	int r = number(&s, UINT64_C(1) << 32, &v);

	if (r)
		return r;
	for (size_t i = 0; i < VU_ARRAY_SIZE(units); i++) {
		if (strcmp(s, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(v, units[i].seconds * UINT64_C(1000000000), ret_ns))
			return -ERANGE;
		return 0;
	}
	return -EINVAL;
}
