/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The unified names of one directory, as a part of a save: of a directory that was read again all names are in
 * memory, and nearly all of them are recorded already. Only what differs is written. Called by catalog-save.c
 * alone.
 */
#pragma once

#include <stdbool.h>

#include "db/catalog-put.h"

/*
 * Brings the rows of d to s->unames, which are sorted by name. Those are all that there are where d is VU_DIR_LISTED;
 * else they are further ones. is_new: d has no rows yet. s->unames is used up. Returns 0, VU_CATALOG_DAMAGED or
 * a negative errno.
 */
int vu_save_unames(struct vu_save *s, const struct vu_dir *d, bool is_new);
