/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many processes of the guests map each inode: of equal files the one that most processes map is
 * the best to keep, as those that map another one go on with their old pages until they start anew.
 * A hint, no more: read once, and true for that instant. Reads /proc/PID/maps; touches no process.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/inomap.h"
#include "guest/procs.h"

#define VU_MAPPED_MAX_INODES 1000000 /* of one file system; further ones are not counted */

struct vu_mapped {
	uint64_t dev;		/* st_dev of the file system; given */
	struct vu_inomap count; /* owned: inode -> processes that map it, each counted once */
};

/*
 * Counts for the n_fs file systems what the processes of the roots (see guest/procs.h) map; count is
 * emptied first. A process that cannot be read, or that ends meanwhile, counts as far as it was read.
 *
 * What a guest can make large is bounded: the inodes (VU_MAPPED_MAX_INODES), the text of one process
 * (16 MiB), and the time (10 s, and 2 s without anything new); where a bound is met, and after a stop
 * (base/stop.h), counts are too small.
 *
 * On btrfs the counts stay empty: there maps shows the device of the superblock, while st_dev is the
 * subvolume's. So they do for the layers of an overlay, whose own device is shown.
 *
 * Makes a child for the time of the call; one call at a time. Returns 0 or a negative errno (-ENOMEM,
 * -EAGAIN, ...); the counts so far are then there and may be used. The caller gives fs[i].count to
 * vu_inomap_done in any case.
 */
int vu_mapped_count(const struct vu_procs_root *roots, size_t n_roots, struct vu_mapped *fs,
		    size_t n_fs);
