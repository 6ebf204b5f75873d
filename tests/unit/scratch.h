/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory for one test, below TMPDIR: so that two runs of all tests do not meet. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_MAX 128	     /* bytes of its path, with the NUL */
#define SCRATCH_PATH_MAX 256 /* for a path in it */

/* Makes a new directory, called after name; its path is in dir. Returns whether it could. */
static inline bool scratch_dir(char dir[static SCRATCH_MAX], const char *name)
{
	const char *top = getenv("TMPDIR");
	int n = snprintf(dir, SCRATCH_MAX, "%s/%s.XXXXXX", top ? top : "/var/tmp", name);

	return n > 0 && n < SCRATCH_MAX && mkdtemp(dir);
}
