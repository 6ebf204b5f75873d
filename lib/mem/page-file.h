/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file of pages (a core dump, an image of memory or of a disk, a device), counted page by page. Opens regular
 * files and block devices only, reads holes of sparse files not at all, and leaves the page cache as it was. One
 * thread for a call.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "mem/tally.h"
#include "model/progress.h"

enum vu_page_file_e {
	VU_PAGE_FILE_KIND = 1, /* neither a regular file nor a block device */
};

struct vu_page_file {
	uint64_t pages; /* that were read; the last one may be a part, with zeros behind it */
	uint64_t holes; /* pages of which there is nothing: not in pages, and nothing to be freed */
};

/*
 * Adds the pages of a file to the tally, with that owner and the program 0. progress: or NULL; its bytes are
 * advanced. Returns 0, a code above, or a negative errno (-ECANCELED after a stop).
 */
int vu_page_file_count(const char *path, size_t page_bytes, uint16_t owner, struct vu_tally *t,
		       struct vu_progress *progress, struct vu_page_file *ret);
