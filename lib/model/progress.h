/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters that the stages of a run advance and that a display reads now and then. All fields are
 * atomic and only grow, but for phase and guest; a stale view is fine.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum vu_phase {
	VU_PHASE_WALK,
	VU_PHASE_READ,
	VU_PHASE_LINK,
	VU_PHASE_SAVE,
	VU_PHASE_BREAK,
	VU_PHASE_REMOVE,
	VU_PHASE_VERIFY,
	VU_PHASE_N
};

struct vu_progress {
	_Atomic int phase;	      /* enum vu_phase */
	_Atomic unsigned guest;	      /* index in the run's guests of the one last touched */
	_Atomic uint64_t files;	      /* done in this phase */
	_Atomic uint64_t files_total; /* of this phase, 0: not known */
	_Atomic uint64_t bytes;
	_Atomic uint64_t bytes_total;
};

static inline void vu_progress_begin(struct vu_progress *p, enum vu_phase phase, uint64_t files,
				     uint64_t bytes)
{
	atomic_store(&p->files, 0);
	atomic_store(&p->bytes, 0);
	atomic_store(&p->files_total, files);
	atomic_store(&p->bytes_total, bytes);
	atomic_store(&p->phase, phase);
}

/* p may be NULL. */
static inline void vu_progress_guest(struct vu_progress *p, unsigned guest)
{
	if (p)
		atomic_store_explicit(&p->guest, guest, memory_order_relaxed);
}

static inline void vu_progress_add(struct vu_progress *p, uint64_t files, uint64_t bytes)
{
	atomic_fetch_add_explicit(&p->files, files, memory_order_relaxed);
	atomic_fetch_add_explicit(&p->bytes, bytes, memory_order_relaxed);
}
