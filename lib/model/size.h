/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes as people write them. Pure; any thread. */
#pragma once

#include <stdint.h>

/* Digits with an optional K, M, G, T (powers of 1024). Returns 0 or -EINVAL or -ERANGE. */
int vu_size_parse(const char *s, uint64_t *ret_bytes);
