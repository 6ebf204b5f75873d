/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The census of what a process has swapped out, slot by slot, into a tally. A slot that several processes have since a
 * fork is one, and counts for the process in which it is met first.
 *
 * It is read where it lies (mem/swaps.h): nothing is swapped in. Where that is not possible (zswap), it can be read
 * through the process, which brings it back into memory; then it is pushed out again, and what stays is counted.
 */
#pragma once

#include "mem/census-process.h"

/* As vu_census_process, with rd->swap. pagemap and mem: the process', borrowed; proc_fd its directory in /proc. */
int vu_census_swapped(struct vu_census_reader *rd, int proc_fd, int mem, int pagemap,
		      uint16_t owner, uint16_t program, struct vu_census_counts *ret);
