/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's directories, private names and private inodes as flat arrays (model/recorded.h), for who only wants to know
 * whether they are still so. Nothing of contents, keys and unified names is read. Errors: see catalog.h.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "db/catalog.h"
#include "model/recorded.h"

/* The catalog's attributes, as far as a look at a file shows them. */
struct vu_recorded_attrs {
	struct vu_recorded_attr {
		uint64_t row;
		uint32_t mode, uid, gid;
	} * v;	  /* owned; ascending by row */
	size_t n; /* 0: none */
	size_t max;
};

int vu_catalog_recorded_attrs(struct vu_catalog *cat, struct vu_recorded_attrs *ret);
void vu_recorded_attrs_done(struct vu_recorded_attrs *a);

enum vu_catalog_recorded_e {
	VU_RECORDED_UNFIT =
		10, /* rows that do not fit to each other: whoever loads the tree sees to them */
};

/*
 * Loads the guest with this id into r, which holds none. Returns 0, VU_RECORDED_UNFIT, VU_CATALOG_DAMAGED or a negative
 * errno; r is to be freed in any case.
 */
int vu_catalog_recorded(struct vu_catalog *cat, uint32_t guest, const struct vu_recorded_attrs *a,
			struct vu_recorded *r);
