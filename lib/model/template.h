/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a template has, and had, at its paths: by this a file of a guest is known to be what the
 * template had there before its post-processing. Plain values with owned parts; made by ops, kept by
 * the catalog, judged by match/follow.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "model/attr.h"
#include "model/digest.h"

/* Versions of one path that are remembered: the newest, and so many before it. */
#define VU_TEMPLATE_PAST 8
#define VU_TEMPLATE_VERSIONS (1 + VU_TEMPLATE_PAST)

/* A file as it was at a path. */
struct vu_template_version {
	struct vu_digest content;
	struct vu_digest packages; /* what the path belonged to then, with versions */
	struct vu_attr attr;	   /* full */
	uint64_t size;		   /* bytes */
};

/* By what a private file is known not to have changed; all 0: it is to be read again. */
struct vu_template_stamp {
	uint64_t ino;
	uint64_t mtime_ns;
	uint64_t ctime_ns;
};

struct vu_template_file {
	char *path;			/* owned; relative to the template's root */
	struct vu_template_version *v;	/* owned; the newest first; all with the same packages */
	unsigned n;			/* 1 to VU_TEMPLATE_VERSIONS */
	struct vu_template_stamp stamp; /* of v[0] */
};

/* Of one template, ascending by strcmp of their paths. */
struct vu_template_files {
	struct vu_template_file *v; /* owned */
	size_t n, cap;
};

/* Appends a file without a version, its path copied. Returns it, or NULL without memory. */
struct vu_template_file *vu_template_files_add(struct vu_template_files *fs, const char *path);

/* Appends a version that is older than those there are. Returns 0 or -ENOMEM. */
int vu_template_file_push(struct vu_template_file *f, const struct vu_template_version *v);

/* The file at path, or NULL. */
struct vu_template_file *vu_template_files_find(const struct vu_template_files *fs,
						const char *path);

/* Puts them in order. */
void vu_template_files_sort(struct vu_template_files *fs);

/* Frees all. Accepts a zeroed struct. */
void vu_template_files_done(struct vu_template_files *fs);
