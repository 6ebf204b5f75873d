/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The pointer tables are address space only: a page is touched when a chunk of it is first used. */
static char **table_new(size_t n)
{
	void *p = mmap(NULL, n * sizeof(char *), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int vu_chunks_init(struct vu_chunks *c, size_t elem)
{
	*c = (struct vu_chunks){.elem = elem};
	c->chunk = table_new(VU_CHUNK_MAX);
	return c->chunk ? 0 : -ENOMEM;
}

void vu_chunks_done(struct vu_chunks *c)
{
	if (!c->chunk)
		return;
	for (uint32_t i = 0; i < c->n_chunk; i++)
		free(c->chunk[i]);
	munmap(c->chunk, VU_CHUNK_MAX * sizeof(char *));
	*c = (struct vu_chunks){0};
}

int vu_chunks_add(struct vu_chunks *c, uint32_t n, uint32_t *ret_i)
{
	if (n > (VU_CHUNK_MAX << VU_CHUNK_SHIFT) - 1U - c->n)
		return -EOVERFLOW;
	while (((uint64_t)c->n_chunk << VU_CHUNK_SHIFT) < (uint64_t)c->n + n) {
		/* calloc of this size comes from mmap: untouched pages cost nothing */
		char *p = calloc((size_t)1 << VU_CHUNK_SHIFT, c->elem);

		if (!p)
			return -ENOMEM;
		c->chunk[c->n_chunk++] = p;
	}
	*ret_i = c->n;
	c->n += n;
	return 0;
}

int vu_arena_init(struct vu_arena *a)
{
	*a = (struct vu_arena){0};
	a->block = table_new(VU_ARENA_BLOCKS);
	return a->block ? 0 : -ENOMEM;
}

void vu_arena_done(struct vu_arena *a)
{
	if (!a->block)
		return;
	for (uint32_t i = 0; i < a->n_block; i++)
		free(a->block[i]);
	munmap(a->block, VU_ARENA_BLOCKS * sizeof(char *));
	*a = (struct vu_arena){0};
}

int vu_arena_add(struct vu_arena *a, const char *s, size_t len, uint32_t *ret_h)
{
	if (len > UINT16_MAX)
		return -EOVERFLOW;
	if (!a->n_block || (UINT32_C(1) << VU_ARENA_SHIFT) - a->used < len + 1) {
		if (a->n_block == VU_ARENA_BLOCKS)
			return -EOVERFLOW;
		char *p = malloc((size_t)1 << VU_ARENA_SHIFT);

		if (!p)
			return -ENOMEM;
		a->block[a->n_block++] = p;
		a->used = 0;
	}
	char *p = a->block[a->n_block - 1] + a->used;

	memcpy(p, s, len);
	p[len] = 0;
	*ret_h = ((a->n_block - 1) << VU_ARENA_SHIFT) | a->used;
	a->used += (uint32_t)len + 1;
	return 0;
}
