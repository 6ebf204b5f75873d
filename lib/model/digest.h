/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A SHA-256 digest (FIPS 180-4), a plain value. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define VU_DIGEST_BYTES 32
#define VU_DIGEST_HEX ((size_t)2 * VU_DIGEST_BYTES)

struct vu_digest {
	uint8_t b[VU_DIGEST_BYTES];
};
