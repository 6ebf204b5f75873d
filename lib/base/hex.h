/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hexadecimal text of bytes and back. Any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Writes 2 * n lower-case digits and a NUL to out. */
void vu_hex_encode(const uint8_t *in, size_t n, char *out);

/* Reads exactly 2 * n digits of s (of which no more are looked at). Returns 0 or -EINVAL. */
int vu_hex_decode(const char *s, size_t n, uint8_t *out);
