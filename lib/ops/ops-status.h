/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the catalog knows about each guest. Looks, changes nothing. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ops/context.h"

struct vu_status_guest {
	char *name;		/* owned */
	char *path;		/* owned */
	char *domain;		/* owned */
	uint64_t files;		/* names of regular files */
	uint64_t unified;	/* of these, names of objects */
	uint64_t private_names; /* of these, not */
	uint64_t pending;	/* private ones that the next scan would unify */
	uint64_t broken;  /* names that got private copies while it ran, since the last run on it */
	uint64_t damaged; /* names of objects that are damaged */
	uint64_t last_run_ns; /* when the last run on it ended, since the epoch; 0: never */
};

struct vu_status {
	struct vu_status_guest *guests; /* owned */
	size_t n_guests;
	struct vu_status_guest total; /* sums; last_run_ns is the newest; strings are NULL */
};

/*
 * The status of the guests (names or roots; n 0: all). Returns 0, VU_OPS_NOT_SET_UP, VU_OPS_USAGE
 * for a guest that is not registered, or another code.
 */
int vu_ops_status(struct vu_ops *ops, char *const *guests, size_t n, struct vu_status *ret_status);

void vu_status_done(struct vu_status *s);
