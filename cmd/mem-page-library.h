/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of the page of `vunify mem --html` (cmd/mem-page.h) that shows the physical pages of a library. */
#pragma once

#include <stdio.h>

#include "ops/ops-library.h"

/* path: of the library; NULL: it is each guest's libc. */
void vu_mem_page_library(FILE *f, const struct vu_library *l, const char *path);
