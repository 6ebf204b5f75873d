/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the program of a filter, for tests: it asserts that each instruction is one that the kernel has. */
#pragma once

#include <stdint.h>

#include "cow/filter.h"

/* What the filter returns for a call: SECCOMP_RET_*. */
uint32_t bpf_run(const struct vu_filter *f, uint32_t arch, int nr, const uint64_t args[6]);
