/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a path of the host to a guest and what is below its root. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "model/guest.h"

/*
 * The absolute path of path, every component but the last resolved: a symbolic link is meant itself.
 * malloc'ed; NULL with errno set.
 */
char *vu_locate_absolute(const char *path);

/*
 * The guest in whose root the absolute path lies: true, with its index and what remains of the path
 * ("" for the root itself; within path).
 */
bool vu_locate_guest(const struct vu_guests *guests, const char *path, size_t *ret_guest,
		     const char **ret_rel);
