/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a tar archive: hostile bytes come in by one descriptor, its members go out by another
 * (archive/stream.h). The only place where libarchive reads; it runs in a process of its own that can do
 * nothing but read the one and write the other (archive/reader.h). Decides nothing about names and kinds
 * of members: that is for who makes files of them. Filters are gzip, bzip2, xz and zstd, at most one; the
 * format is tar.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

struct vu_untar_limits {
	size_t max_xattr_bytes; /* of one member */
	uint64_t
		max_ratio; /* bytes that may come out for one that goes in, once VU_UNTAR_FREE did */
};

/* A file with more in holes is not hashed: scan does not, either. */
#define VU_UNTAR_HOLES (UINT64_C(1) << 30)

#define VU_UNTAR_FREE (UINT64_C(64) << 20)

/*
 * Opens what it needs later (tables of character sets), which cannot be opened in confinement. Sets the
 * locale of the process.
 */
void vu_untar_prepare(void);

/*
 * Reads to the end. hash: borrowed; files of an archive that is plain, or half of those compressed by zstd,
 * come with their digests, but those with more than VU_UNTAR_HOLES in holes; NULL: none does. Returns 0, also
 * when the archive is bad, which is the last item then; or the negative errno of writing, or -ENOMEM.
 */
int vu_untar_run(int in, int out, const struct vu_untar_limits *limits, struct vu_hash *hash);
