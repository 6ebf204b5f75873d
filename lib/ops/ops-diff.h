/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What two guests have in common, file by file: looked at on the disk now, both trees side by side; digests come from
 * the catalog where they are proven to hold. Regular files only. Changes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/skip.h"
#include "ops/context.h"

enum vu_diff_kind {
	VU_DIFF_SHARED,	   /* one inode */
	VU_DIFF_EQUAL,	   /* the same content in two inodes */
	VU_DIFF_DIFFERENT, /* other content; or one is no regular file */
	VU_DIFF_A,	   /* only the first guest has it */
	VU_DIFF_B,	   /* only the second */
	VU_DIFF_UNKNOWN,   /* could not be compared, which was told as a warning */
	VU_DIFF_N
};

struct vu_diff_file {
	enum vu_diff_kind kind;
	enum vu_skip
		skip; /* VU_DIFF_EQUAL: why they are not shared; VU_SKIP_NONE: the next scan will */
	const char *path; /* borrowed for the call */
	uint64_t size;	  /* bytes; of the first guest's where both have it */
};

struct vu_diff_options {
	const char *guests[2]; /* names, or roots, registered or not */
	bool read_all;	       /* believe no digest of the catalog */
	void (*file)(void *arg, const struct vu_diff_file *f); /* or NULL */
	void *arg;
};

struct vu_diff_report {
	struct {
		char *name;	    /* owned */
		char *path;	    /* owned */
		uint64_t looked_ns; /* when a run looked at it last; 0: none has */
		uint64_t other_fs;  /* mounts and subvolumes in it, which were not entered */
	} guests[2];
	struct {
		uint64_t files, bytes;
	} kinds[VU_DIFF_N];
	uint64_t
		skips[VU_SKIP_N]; /* of the equal files; VU_SKIP_NONE: the next scan unifies them */
	uint64_t recorded;	  /* digests that came from the catalog */
	uint64_t read;		  /* files that were read */
	uint64_t read_bytes;
	uint64_t warnings;
	double seconds;
};

/* Returns 0, an enum vu_ops_e or a negative errno; ret is to be freed in any case. */
int vu_ops_diff(struct vu_ops *ops, const struct vu_diff_options *o, struct vu_diff_report *ret);

void vu_diff_done(struct vu_diff_report *r);
