/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which part of a pool one verification reads: every N-th object, those from a place on, those that there is time
 * for. Objects are read in the order of their keys, which are hashes: so every part is a fair sample, an object
 * belongs to the same part in each run, and a place keeps its meaning while objects come and go. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/key.h"

struct vu_subset {
	uint32_t k; /* 1 .. n */
	uint32_t n; /* 1: all */
};

/* "K/N", K from 1 to N. Returns 0 or -EINVAL. */
int vu_subset_parse(const char *s, struct vu_subset *ret);

/* Is the object in it? Each is in one of the N subsets. */
bool vu_subset_has(const struct vu_subset *s, const struct vu_key *key);

/*
 * Where an object stands in the order in which objects are read: 1 .. INT64_MAX, its hash's first bits.
 * Objects of the same hash have the same place.
 */
uint64_t vu_place_of(const struct vu_key *key);

/* Orders keys by place, for qsort(3). */
int vu_place_compare(const struct vu_key *a, const struct vu_key *b);

/* "90", "90s", "15m", "15min", "1h", "2d" as nanoseconds. Returns 0, -EINVAL or -ERANGE. */
int vu_duration_parse(const char *s, uint64_t *ret_ns);
