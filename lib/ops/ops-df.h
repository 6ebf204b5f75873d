/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guests occupy on the disk, and what sharing saves. Looks, changes nothing. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ops/context.h"

/* All in bytes of disk blocks (st_blocks * 512). */
struct vu_df_guest {
	char *name;	       /* owned */
	char *path;	       /* owned */
	uint64_t size_bytes;   /* as if it were alone: each of its inodes once */
	uint64_t shared_bytes; /* of these, in objects that other guests use too */
	uint64_t unique_bytes; /* of these, what only it uses */
	uint64_t saved_bytes;  /* its part of what sharing saves */
};

struct vu_df {
	struct vu_df_guest *guests; /* owned */
	size_t n_guests;
	/*
	 * size: sum of the guests'; shared: objects that several guests use, each once; unique: sum of
	 * the guests'; saved: of all guests size - shared - unique, as df(1) shows it, of some the sum of
	 * their parts. Strings are NULL.
	 */
	struct vu_df_guest total;
};

/* Of the guests (names or roots; n 0: all); what they share with others counts as shared. Returns like
 * vu_ops_status. */
int vu_ops_df(struct vu_ops *ops, char *const *guests, size_t n, struct vu_df *ret_df);

void vu_df_done(struct vu_df *d);
