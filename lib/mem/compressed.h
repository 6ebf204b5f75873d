/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many bytes a page would have when it is compressed, about: as a simple compressor of the family that zram uses
 * (LZ77 without an entropy coder: LZO, LZ4) would make of it. Compresses nothing. What it says is good for
 * comparing pages with each other; what a real compressor makes of all of them tells the scale. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* bytes: 65536 at most, and a multiple of 8. Never more than bytes. */
size_t vu_compressed_size(const void *page, size_t bytes);
