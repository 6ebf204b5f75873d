/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A map from inode number to a 32-bit number, open addressing, 16 bytes a slot at most 3/4 full.
 * Written by one thread; afterwards read by any number of threads without a lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vu_inomap {
	struct vu_inomap_slot {
		uint64_t ino; /* 0: free */
		uint32_t value;
	} * slot;	/* owned */
	uint32_t n;	/* entries */
	uint32_t slots; /* power of two, 0 while empty */
};

void vu_inomap_done(struct vu_inomap *m);

/* Sets the value of ino (which is not 0). Returns 0 or -ENOMEM. */
int vu_inomap_set(struct vu_inomap *m, uint64_t ino, uint32_t value);

/* Looks ino up. False when it is not there; else ret_value (may be NULL) is written. */
bool vu_inomap_get(const struct vu_inomap *m, uint64_t ino, uint32_t *ret_value);
