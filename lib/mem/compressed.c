/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Greedy: where four bytes were seen before, by a table of their hashes, the match is taken as long as it is.
 * What it costs is LZ4's: a token, two bytes of distance, and further bytes of length, one for each 255, behind
 * 15 literals and behind a match of 19.
 */
#include "mem/compressed.h"

#include <string.h>

#define HASH_BITS 12
#define MATCH_MIN 4

static uint32_t word(const unsigned char *p)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static size_t slot(uint32_t w)
{
	return w * UINT32_C(2654435761) >> (32 - HASH_BITS);
}

static size_t lengths(size_t n, size_t token)
{
	return n < token ? 0 : (n - token) / 255 + 1;
}

size_t vu_compressed_size(const void *page, size_t bytes)
{
	const unsigned char *p = page;
	uint16_t seen[1 << HASH_BITS] = {0};
	size_t size = 0, literals = 0;

	for (size_t i = 0; i < bytes;) {
		size_t from, n = 0;

		if (i && i + MATCH_MIN <= bytes) {
			uint16_t *s = &seen[slot(word(p + i))];

			from = *s;
			*s = (uint16_t)i;
			while (from < i && i + n < bytes && p[from + n] == p[i + n])
				n++;
		}
		if (n < MATCH_MIN) {
			literals++;
			i++;
			continue;
		}
		size += 1 + 2 + literals + lengths(literals, 15) + lengths(n - MATCH_MIN, 15);
		literals = 0;
		i += n;
	}
	size += 1 + literals + lengths(literals, 15);
	return size < bytes ? size : bytes;
}
