/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the catalog's file whole, and what does it say about limits: for `doctor`. Reads all of it. Errors: see
 * catalog.h.
 */
#pragma once

#include <stdint.h>

#include "db/catalog.h"

/* SQLite's own check of all pages (PRAGMA quick_check). VU_CATALOG_DAMAGED: vu_catalog_message() says what. */
int vu_catalog_check(struct vu_catalog *cat);

/* How many links the object of this file system has that has the most, and how many have at least near. */
int vu_catalog_most_links(struct vu_catalog *cat, const char *fs_id, uint64_t near,
			  uint64_t *ret_most, uint64_t *ret_n_near);
