/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A growing array that never moves its elements and never doubles its memory: elements live in
 * chunks of 1 << VU_CHUNK_SHIFT. Made for the millions of small records of a scan, where realloc()
 * would need twice the memory at its peak. One writer at a time; readers may go on meanwhile on
 * elements that they know of.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VU_CHUNK_SHIFT 14
#define VU_CHUNK_MASK ((UINT32_C(1) << VU_CHUNK_SHIFT) - 1)
#define VU_CHUNK_MAX 65536 /* chunks: at most 2^30 elements */

struct vu_chunks {
	char **chunk;	  /* VU_CHUNK_MAX pointers, reserved as address space, touched as used */
	size_t elem;	  /* bytes of an element */
	uint32_t n;	  /* elements in use */
	uint32_t n_chunk; /* chunks allocated */
};

/* Prepares an empty array of elements of elem bytes. Returns 0 or -ENOMEM. */
int vu_chunks_init(struct vu_chunks *c, size_t elem);

/* Frees all. Accepts a zeroed struct. */
void vu_chunks_done(struct vu_chunks *c);

/*
 * Appends n zeroed elements. Returns 0 and the index of the first in ret_i, -ENOMEM, or -EOVERFLOW
 * above 2^30 elements.
 */
int vu_chunks_add(struct vu_chunks *c, uint32_t n, uint32_t *ret_i);

/* The element i; i must be below c->n. */
static inline void *vu_chunks_at(const struct vu_chunks *c, uint32_t i)
{
	return c->chunk[i >> VU_CHUNK_SHIFT] + (size_t)(i & VU_CHUNK_MASK) * c->elem;
}

/* A byte arena on top of mmap'ed blocks: strings are appended and addressed by a 32-bit handle. */
struct vu_arena {
	char **block; /* VU_ARENA_BLOCKS pointers */
	uint32_t n_block;
	uint32_t used; /* bytes used in the last block */
};

#define VU_ARENA_SHIFT 18 /* 256 KiB a block */
#define VU_ARENA_BLOCKS 16384

int vu_arena_init(struct vu_arena *a);
void vu_arena_done(struct vu_arena *a);

/*
 * Copies len bytes and a NUL behind them. len at most 65535. Returns 0 and the handle, -ENOMEM, or
 * -EOVERFLOW above 4 GiB. The memory never moves.
 */
int vu_arena_add(struct vu_arena *a, const char *s, size_t len, uint32_t *ret_h);

/* The NUL-terminated string behind a handle. */
static inline const char *vu_arena_at(const struct vu_arena *a, uint32_t h)
{
	return a->block[h >> VU_ARENA_SHIFT] + (h & ((UINT32_C(1) << VU_ARENA_SHIFT) - 1));
}
