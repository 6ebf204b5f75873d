/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why this ends with the newest state: an exchange puts X to the path and takes Y out, in one step. If
 * Y is what was put there before (or `expected`, at first), nobody came in between, and X stays. If
 * not, the guest put Y there after that: Y is newer than X, and is exchanged with X in turn.
 *
 * Files are told by their numbers. A guest may remove X from the path again, and the next file get its number: so X
 * is held open (O_PATH) until it is known what came out behind it. That `expected` is held is the caller's part.
 */
#include "link/swap.h"

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "fs/exchange.h"
#include "fs/stat.h"

#define TRIES 64

int vu_swap_back(int stage, const char *tmp, int dir, const char *name, uint64_t newest,
		 uint64_t expected)
{
	_cleanup_fd_ int held = -EBADF;
	struct vu_stat st;

	for (int i = 0; i < TRIES; i++) {
		_cleanup_fd_ int now = openat(stage, tmp, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		int r = now < 0 ? -errno : vu_exchange(stage, tmp, dir, name);

		if (r == -ENOENT && now >= 0)
			return VU_SWAP_GONE;
		if (!r)
			r = vu_stat_at(stage, tmp, &st);
		if (r)
			return r;
		if (st.version.ino == expected)
			return 0;
		expected = newest;
		newest = st.version.ino;
		vu_close_p(&held);
		held = vu_take_fd(now);
	}
	return VU_SWAP_RESTLESS;
}
