/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A set of frame numbers: a bit for each frame of the machine, in pieces that are there once one of their frames is.
 * Costs a 32,768th of the memory that is looked at. Any number of threads.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define VU_FRAME_SET_PIECE_SHIFT 18		/* frames of a piece */
#define VU_FRAME_SET_PIECES (UINT32_C(1) << 22) /* up to 4 PiB of addresses, with pages of 4 KiB */

struct vu_frame_set_piece;

struct vu_frame_set {
	_Atomic(struct vu_frame_set_piece *) *piece; /* owned; address space, touched as used */
};

/* Returns 0 or -ENOMEM. vu_frame_set_done accepts a zeroed one. */
int vu_frame_set_init(struct vu_frame_set *s);
void vu_frame_set_done(struct vu_frame_set *s);

/* Returns 1 if it was not in it before, 0 if it was, -ENOMEM, or -ERANGE where there is no such memory. */
int vu_frame_set_add(struct vu_frame_set *s, uint64_t pfn);
