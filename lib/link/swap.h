/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Putting a file back to where it was, against a guest that replaces what is there at the same time.
 * Part of linker, breaker and recovery. Any thread.
 */
#pragma once

#include <stdint.h>

enum vu_swap_e {
	VU_SWAP_GONE = 1, /* nothing is at the path any more; tmp holds what was to be put back */
	VU_SWAP_RESTLESS, /* something else was there each time; tmp holds the last of it */
};

/*
 * tmp (in stage) holds the inode `newest`, which belongs to name (in dir), where `expected` is unless
 * the guest has just replaced that. Exchanges them until what comes out is what was last known to be
 * at the path: then the newest state is there, and what tmp holds is superseded (the caller removes
 * it). Returns 0, an enum vu_swap_e, or a negative errno with tmp holding what is to be kept.
 */
int vu_swap_back(int stage, const char *tmp, int dir, const char *name, uint64_t newest,
		 uint64_t expected);
