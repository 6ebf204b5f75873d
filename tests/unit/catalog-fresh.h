/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A catalog that has guests and nothing else. Needs cmocka. */
#pragma once

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "db/catalog-guest.h"

/* Owns all it has. */
static inline void catalog_guest(struct vu_guest *g, const char *name, uint64_t ino)
{
	*g = (struct vu_guest){.name = strdup(name),
			       .path = strdup("/g"),
			       .domain = strdup(""),
			       .fs_id = strdup("fs-1"),
			       .ino = ino};
}

/* A new catalog at the path, open for writing, with so many guests. */
static inline struct vu_catalog *catalog_fresh(const char *path, struct vu_guests *guests, int n)
{
	struct vu_catalog *cat = NULL;

	unlink(path);
	*guests = (struct vu_guests){0};
	assert_int_equal(vu_catalog_open(path, VU_CATALOG_WRITE, &cat, NULL), 0);
	for (int i = 0; i < n; i++) {
		struct vu_guest g;
		char name[32];

		snprintf(name, sizeof(name), "guest%d", i);
		catalog_guest(&g, name, (uint64_t)i + 10);
		assert_int_equal(vu_catalog_guest_add(cat, &g), 0);
		assert_int_equal(vu_guests_add_consume(guests, &g), 0);
	}
	return cat;
}
