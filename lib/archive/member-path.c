/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "archive/member-path.h"

#include <limits.h>
#include <string.h>

const char *vu_member_path(const char *name, uint32_t max_depth, char *ret)
{
	size_t at = 0;
	uint32_t depth = 0;

	if (*name == '/')
		return "its name is absolute";
	for (const char *p = name; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && !strncmp(p, "..", 2))
			return "its name leads upwards (\"..\")";
		if (n > NAME_MAX)
			return "a part of its name is longer than 255 bytes";
		if (n && !(n == 1 && *p == '.')) {
			if (at + n + 1 > VU_MEMBER_PATH_MAX)
				return "its name is longer than 4095 bytes";
			if (++depth > max_depth)
				return "it lies below max_depth";
			if (at)
				ret[at++] = '/';
			memcpy(ret + at, p, n);
			at += n;
		}
		p += n + (p[n] == '/');
	}
	ret[at] = 0;
	return NULL;
}
