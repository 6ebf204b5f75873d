/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page of `vunify mem --html`: memory of guests in figures, each with a table of its numbers. Writes to the
 * stream, whose errors are the caller's to see; asks nothing and prints nothing.
 */
#pragma once

#include <stdio.h>

#include "ops/ops-library.h"
#include "ops/ops-mem.h"
#include "ops/ops-stale.h"

struct vu_mem_page {
	const struct vu_mem *mem;	  /* borrowed, as all here */
	const struct vu_library *library; /* of the same guests */
	const struct vu_stale *stale;	  /* the same */
	const char *path;		  /* of the library; NULL: it is each guest's libc */
	const char *host;		  /* its name */
	const char *time;		  /* of the look, as text */
};

void vu_mem_page_write(FILE *f, const struct vu_mem_page *p);
