/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of damaged objects out of archives and images that the admin named: each is read once for all objects that are
 * without a copy, by the process without privileges that reads for imports (archive/reader.h). A member serves if the
 * object's name is computed from it, as any other file does; what it is called does not matter. Part of
 * ops/verify-repair; one thread.
 */
#pragma once

#include "link/identify.h"
#include "ops/verify-repair.h"

/*
 * Looks for the objects that are BAD, and neither ODD nor FOUND, in the files that r->from names. Those for
 * which there is a copy get FOUND, as by vu_repair_source_find, and found is called with what the member is
 * called. WARN for an archive that could not be read to its end. Returns 0, what found returned, -ECANCELED, or
 * another negative errno that concerns more than one archive.
 */
int vu_repair_archives(struct vu_repair *r, struct vu_identifier *w,
		       int (*found)(const struct vu_repair *r, const struct vu_checked *o,
				    const char *label));
