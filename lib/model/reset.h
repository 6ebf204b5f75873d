/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must not be the same in two guests, so that a clone does not have it: a list of "truncate PATH" and
 * "remove PATH", PATH from the guest's root, with a pattern of fnmatch(3) as its last part. Of what fits,
 * the last one decides. Any thread.
 */
#pragma once

#include <stdbool.h>

enum vu_reset {
	VU_RESET_NOT,
	VU_RESET_TRUNCATE, /* the file is there, and empty */
	VU_RESET_REMOVE,
};

/* The defaults, NULL-terminated. Static. */
extern const char *const vu_reset_defaults[];

/* What is wrong with a path of the list (static text), or NULL. */
const char *vu_reset_wrong(const char *path);

/* Can it fit a name directly in the directory (relative to the root, "" for it)? list may be NULL. */
bool vu_reset_is_of(char *const *list, const char *dir);

/* What is to be done with that name there, if it is a regular file. */
enum vu_reset vu_reset_find(char *const *list, const char *dir, const char *name);
