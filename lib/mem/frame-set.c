/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/frame-set.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BYTES (VU_FRAME_SET_PIECES * sizeof(void *))

struct vu_frame_set_piece {
	_Atomic uint64_t word[1 << (VU_FRAME_SET_PIECE_SHIFT - 6)];
};

int vu_frame_set_init(struct vu_frame_set *s)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	s->piece = p;
	return 0;
}

void vu_frame_set_done(struct vu_frame_set *s)
{
	for (size_t i = 0; s->piece && i < VU_FRAME_SET_PIECES; i++)
		free(atomic_load_explicit(&s->piece[i], memory_order_relaxed));
	if (s->piece)
		munmap(s->piece, BYTES);
	s->piece = NULL;
}

/* NULL without memory. */
static struct vu_frame_set_piece *piece_of(struct vu_frame_set *s, uint64_t i)
{
	struct vu_frame_set_piece *none = NULL, *p = atomic_load(&s->piece[i]);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p || atomic_compare_exchange_strong(&s->piece[i], &none, p))
		return p;
	free(p);
	return none; /* another thread's, which was first */
}

int vu_frame_set_add(struct vu_frame_set *s, uint64_t pfn)
{
	uint64_t i = pfn >> VU_FRAME_SET_PIECE_SHIFT;
	uint64_t bit = UINT64_C(1) << (pfn & 63);

	if (i >= VU_FRAME_SET_PIECES)
		return -ERANGE;
	struct vu_frame_set_piece *p = piece_of(s, i);

	if (!p)
		return -ENOMEM;
	_Atomic uint64_t *word =
		&p->word[(pfn & ((UINT64_C(1) << VU_FRAME_SET_PIECE_SHIFT) - 1)) >> 6];

	return !(atomic_fetch_or_explicit(word, bit, memory_order_relaxed) & bit);
}
