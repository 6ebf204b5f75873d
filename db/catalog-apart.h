/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has come apart: names that were an object's when their directory was last read, and are private now, whoever did
 * that. Errors: see catalog.h.
 */
#pragma once

#include "db/catalog.h"
#include "model/guest.h"
#include "model/tree.h"

/*
 * Sets vu_name.apart in the directories that the walk has listed; for t as vu_catalog_load_tree() and the walk
 * left it, before it is saved. guests: those of the load.
 */
int vu_catalog_mark_apart(struct vu_catalog *cat, const struct vu_guests *guests,
			  struct vu_tree *t);
