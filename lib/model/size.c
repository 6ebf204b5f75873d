/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/size.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

int vu_size_parse(const char *s, uint64_t *ret_bytes)
{
	static const char unit[] = "KMGT";
	uint64_t v = 0;
	const char *u;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	bool over = false;

	for (; *s >= '0' && *s <= '9'; s++)
		over |= __builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v);
	if (*s) {
		u = strchr(unit, *s);
		if (!u || s[1])
			return -EINVAL;
		over |= __builtin_mul_overflow(v, UINT64_C(1) << (10 * (u - unit + 1)), &v);
	}
	if (over)
		return -ERANGE;
	*ret_bytes = v;
	return 0;
}
