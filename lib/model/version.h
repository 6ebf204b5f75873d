/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is compared to know that a file is still the one that was read. Any change of content sets
 * mtime and ctime, any change of metadata or of the link count sets ctime; ctime cannot be set by
 * hand. A plain value.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vu_version {
	uint64_t dev; /* st_dev as makedev() makes it */
	uint64_t ino;
	uint64_t size;	   /* bytes */
	uint64_t mtime_ns; /* since the epoch; times before 1970 wrap, and still compare as equal */
	uint64_t ctime_ns;
};

static inline bool vu_version_equal(const struct vu_version *a, const struct vu_version *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}
