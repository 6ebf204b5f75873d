/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/reset.h"

#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

/*
 * All of it is made anew by a guest where it is missing, or (machine-id) empty. /var/lib/dbus/machine-id is
 * mostly a symbolic link, which stays.
 */
const char *const vu_reset_defaults[] = {
	"truncate /etc/machine-id",
	"remove /var/lib/dbus/machine-id",
	"remove /etc/ssh/ssh_host_*_key",
	"remove /etc/ssh/ssh_host_*_key.pub",
	"remove /var/lib/systemd/random-seed",
	"remove /var/lib/urandom/random-seed",
	"remove /var/lib/systemd/credential.secret",
	NULL,
};

const char *vu_reset_wrong(const char *path)
{
	const char *base = strrchr(path, '/');

	if (*path != '/' || !base[1] || strstr(path, "//") || strstr(path, "/./") ||
	    strstr(path, "/../"))
		return "allowed is the absolute path of a file in a guest";
	return strcspn(path, "*?[") < (size_t)(base - path)
		       ? "allowed are *, ? and [...] in the last part only"
		       : NULL;
}

/* The path of an item without its first "/". */
static const char *path_of(const char *item)
{
	return strchr(item, '/') + 1;
}

static bool is_of(const char *path, const char *dir)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	return strlen(dir) == n && !strncmp(path, dir, n);
}

bool vu_reset_is_of(char *const *list, const char *dir)
{
	for (; list && *list; list++)
		if (is_of(path_of(*list), dir))
			return true;
	return false;
}

enum vu_reset vu_reset_find(char *const *list, const char *dir, const char *name)
{
	enum vu_reset found = VU_RESET_NOT;

	for (; list && *list; list++)
		if (is_of(path_of(*list), dir) &&
		    !fnmatch(strrchr(*list, '/') + 1, name, FNM_PERIOD))
			found = **list == 't' ? VU_RESET_TRUNCATE : VU_RESET_REMOVE;
	return found;
}
