/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking trees away from where a member of an archive is to be: nobody else changes them, and nothing in them
 * is immutable. However deep they are; no link is followed, no mount entered. Part of lib/archive. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "fs/stat.h"

struct vu_clearing {
	/*
	 * Is what this is to stay? A directory that stays is gone through, and what is in it and is not to
	 * stay is removed. NULL: nothing stays.
	 */
	bool (*stays)(void *arg, const struct vu_stat *st);
	/* Is told of each directory that is removed. NULL: nobody is. */
	void (*gone)(void *arg, uint64_t ino);
	void *arg;
};

/* Removes name in dir with all below it. Returns 0 (also when it was not there) or a negative errno. */
int vu_clear(int dir, const char *name, const struct vu_clearing *c);

/* The same with what is in an open directory. */
int vu_clear_below(int dir, const struct vu_clearing *c);
