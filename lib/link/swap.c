/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why this ends with the newest state: an exchange puts X to the path and takes Y out, in one step. If
 * Y is what was put there before (or `expected`, at first), nobody came in between, and X stays. If
 * not, the guest put Y there after that: Y is newer than X, and is exchanged with X in turn.
 */
#include "link/swap.h"

#include <errno.h>

#include "fs/exchange.h"
#include "fs/stat.h"

#define TRIES 64

int vu_swap_back(int stage, const char *tmp, int dir, const char *name, uint64_t newest,
		 uint64_t expected)
{
	struct vu_stat st;

	for (int i = 0; i < TRIES; i++) {
		int r = vu_exchange(stage, tmp, dir, name);

		if (r == -ENOENT)
			return VU_SWAP_GONE;
		if (!r)
			r = vu_stat_at(stage, tmp, &st);
		if (r)
			return r;
		if (st.version.ino == expected)
			return 0;
		expected = newest;
		newest = st.version.ino;
	}
	return VU_SWAP_RESTLESS;
}
