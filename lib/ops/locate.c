/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/locate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

char *vu_locate_absolute(const char *path)
{
	_cleanup_free_ char *copy = strdup(path), *dir = NULL;
	char *out = NULL, *slash;

	if (!copy)
		return NULL;
	for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
		copy[n - 1] = 0;
	slash = strrchr(copy, '/');
	const char *base = slash ? slash + 1 : copy;

	if (!strcmp(base, ".") || !strcmp(base, "..") || !*base)
		return realpath(path, NULL);
	if (slash)
		*slash = 0;
	dir = realpath(slash ? (*copy ? copy : "/") : ".", NULL);
	if (!dir)
		return NULL;
	return asprintf(&out, "%s/%s", strcmp(dir, "/") ? dir : "", base) < 0 ? NULL : out;
}

bool vu_locate_guest(const struct vu_guests *guests, const char *path, size_t *ret_guest,
		     const char **ret_rel)
{
	for (size_t i = 0; i < guests->n; i++) {
		const char *root = guests->v[i].path;
		size_t n = strcmp(root, "/") ? strlen(root) : 0;

		if (strncmp(path, root, n) || (path[n] && path[n] != '/'))
			continue;
		*ret_guest = i;
		*ret_rel = path + n + (path[n] == '/');
		return true;
	}
	return false;
}
