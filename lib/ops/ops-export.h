/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest as a tar archive (lib/archive/pax.h) that is complete without its pool: content, owners, times,
 * attributes, devices and the hard links inside the guest; no immutable flags. The guest may run: it is
 * only read, and what changes meanwhile is told. Sockets are left out.
 */
#pragma once

#include <stdint.h>

#include "archive/pax.h"
#include "ops/context.h"

struct vu_export_options {
	char *guest;	  /* borrowed; name or root */
	const char *file; /* NULL or "-": to fd */
	int fd;
	enum vu_compress compress;
};

struct vu_export_report {
	uint64_t dirs;
	uint64_t files;	  /* regular ones, each inode once */
	uint64_t links;	  /* further names of these and of others */
	uint64_t others;  /* symbolic links, devices, FIFOs */
	uint64_t sockets; /* left out */
	uint64_t bytes;	  /* of the files, holes too */
	uint64_t written; /* bytes of the archive */
	uint64_t warnings;
	double seconds;
};

/*
 * Writes the archive. A file appears under its name when it is complete and on the disk, in place of what
 * had the name; a device or a FIFO that has it is written to. Returns 0, an enum vu_ops_e or a negative
 * errno (-EPIPE: nobody reads it any more); the report is written in all cases.
 */
int vu_ops_export(struct vu_ops *ops, const struct vu_export_options *o,
		  struct vu_export_report *ret_report);
