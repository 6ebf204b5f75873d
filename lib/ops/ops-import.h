/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new guest from an archive or an OCI image. Content that the pool holds is linked and not written, as a
 * scan would link it; the rest is written, for the next scan to compare. The tree is made in the pool,
 * where nobody reaches it, and gets its name by one rename when it is complete and on the disk; killed
 * before, nothing of it is left behind the next run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "archive/unpack.h"
#include "link/freezer.h"
#include "ops/context.h"

struct vu_import_options {
	const char *from;   /* borrowed; a file, "-" (stdin), or "oci:DIR[:TAG]" */
	const char *name;   /* borrowed; a path, or with in a name below that */
	const char *in;	    /* borrowed; a directory, or NULL */
	const char *domain; /* borrowed; or NULL: the default one */
	bool devices;
	bool setid;
	bool dry_run; /* unpacks, and removes what came of it */
};

struct vu_import_report {
	char *guest; /* owned; its name; NULL where there is none */
	char *path;  /* owned; its root */
	struct vu_unpack_stats unpacked;
	uint64_t layers;
	uint64_t names;	       /* linked (with dry_run: that would be) */
	uint64_t linked_bytes; /* that were not written for that */
	uint64_t copied;       /* files whose content came from the pool, but that are private */
	struct vu_freezer_stats frozen;
	uint64_t warnings;
	uint64_t damages;
	double seconds;
};

void vu_import_report_done(struct vu_import_report *r);

/*
 * Returns 0, an enum vu_ops_e or a negative errno; the report is the caller's to free in any case.
 * VU_OPS_REFUSED: a member of the archive, or what the archive is, is not taken; or the place is none for a
 * guest.
 */
int vu_ops_import(struct vu_ops *ops, const struct vu_import_options *o,
		  struct vu_import_report *ret_report);
