/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/hex.h"

#include <errno.h>

void vu_hex_encode(const uint8_t *in, size_t n, char *out)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digit[in[i] >> 4];
		*out++ = digit[in[i] & 15];
	}
	*out = 0;
}

static int value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int vu_hex_decode(const char *s, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i++, s += 2) {
		int hi = value(s[0]), lo = hi < 0 ? -1 : value(s[1]);

		if (lo < 0)
			return -EINVAL;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}
