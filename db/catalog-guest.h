/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests that the catalog knows. Owns nothing. Errors: see catalog.h. */
#pragma once

#include "db/catalog.h"
#include "model/guest.h"

/*
 * Lists all by their names, with dev 0; values that cannot be are VU_CATALOG_DAMAGED. -EBUSY: opened for reading,
 * and the file was written meanwhile; to be opened once more. Owned by the caller.
 */
int vu_catalog_guests(struct vu_catalog *cat, struct vu_guests *ret_guests);

/* Adds g, whose id is set. -EEXIST: the name, or (fs_id, ino), is taken. */
int vu_catalog_guest_add(struct vu_catalog *cat, struct vu_guest *g);

/* Writes all of g to the guest g->id. -EEXIST as above, -ENOENT: there is no such guest. */
int vu_catalog_guest_update(struct vu_catalog *cat, const struct vu_guest *g);

/* Removes a guest with all its rows, in one transaction. No such guest: 0. */
int vu_catalog_guest_remove(struct vu_catalog *cat, uint32_t id);
