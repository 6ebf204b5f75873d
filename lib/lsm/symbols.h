/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the kernel's functions lie that lead from open(2) to file_post_open (lsm/programs.bpf.c), from /proc/kallsyms.
 * Any thread.
 */
#pragma once

#include <stdio.h>

#include "lsm/ask.h"

/*
 * Reads them from an open list in kallsyms' form, in any order. A function that was split by the compiler
 * ("path_openat.isra.0") is found by its name in front of the dot. Returns 0; -ENOENT when one that is needed
 * is not there, or addresses are hidden (kptr_restrict); or another negative errno.
 */
int vu_symbols_read(FILE *list, struct vu_ask_range ret[VU_ASK_FUNCTIONS]);
