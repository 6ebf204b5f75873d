/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which guests hold a content: on the day on which a file turns out to be dangerous. What the catalog has recorded is
 * looked at again before it is told; what has come since the last scan of a guest is found by a look at all
 * files only. Changes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/digest.h"
#include "ops/context.h"

/* A name of the content. Borrowed for the call. */
struct vu_held_name {
	const char *guest;
	const char *path; /* relative to the guest's root */
	bool unified;	  /* of an object */
};

struct vu_held_options {
	const char *
		what; /* a SHA-256 digest in hex (perhaps behind "sha256:"), GUEST:PATH, or a path of the host */
	bool full; /* look at all files of all guests */
	void (*name)(void *arg, const struct vu_held_name *n);
	void *arg;
};

struct vu_held_guest {
	char *name;	    /* owned */
	uint64_t looked_ns; /* when a run looked at it last; 0: none has */
	uint64_t unified;   /* names of the content */
	uint64_t private;
	uint64_t outdated; /* recorded names that are not of the content any more */
	uint64_t unread;   /* files of which nobody knows whether they hold it */
	bool stale;	   /* it was never scanned, or something says that it has changed since */
};

struct vu_held_report {
	struct vu_digest digest;
	uint64_t size; /* bytes, where known */
	bool size_known;
	struct vu_held_guest *guests; /* owned; registered guests whose roots are there */
	size_t n_guests;
	uint64_t unread; /* sums of the guests' */
	uint64_t unread_bytes;
	uint64_t read; /* files that were read to know */
	uint64_t read_bytes;
	uint64_t warnings;
};

/*
 * Tells each name as it is found. What is not sure (guests that are stale, files that were not read) is told as
 * warnings. Returns 0, an enum vu_ops_e or a negative errno; ret is to be freed in any case.
 */
int vu_ops_owners(struct vu_ops *ops, const struct vu_held_options *o, struct vu_held_report *ret);

void vu_held_done(struct vu_held_report *r);
