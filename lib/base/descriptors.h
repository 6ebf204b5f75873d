/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many descriptors the process may have open. */
#pragma once

#include <stdint.h>

/*
 * Raises the soft limit (RLIMIT_NOFILE, setrlimit(2)) to the hard one, but not above most, and never lowers it.
 * The usual soft limit of 1024 is for programs that use select(2). Who runs a program of others puts it back
 * first, or does not ask for this.
 */
void vu_descriptors_raise(uint64_t most);
