/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scan/listing.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/mount.h"
#include "fs/mountinfo.h"

VU_DEFINE_CLEANUP_DONE(struct vu_mount, vu_mount_done)

static bool is_dots(const char *s)
{
	return s[0] == '.' && (!s[1] || (s[1] == '.' && !s[2]));
}

static int batch(const char *buf, size_t len, const struct vu_listener *l)
{
	int r = 0;

	for (size_t at = 0; !r && at < len;) {
		const struct dirent64 *d = (const void *)(buf + at);
		struct vu_entry e = {.name = d->d_name, .ino = d->d_ino, .type = d->d_type};

		at += d->d_reclen;
		if (!is_dots(e.name))
			r = l->entry(l->arg, &e);
	}
	return r ? r : l->batch_end(l->arg);
}

int vu_listing_each(int dirfd, void *buf, const struct vu_listener *l, int *ret_failed)
{
	ssize_t n;
	int r = 0;

	while (!r && (n = getdents64(dirfd, buf, VU_LISTING_BYTES)) != 0) {
		if (n < 0) {
			*ret_failed = -errno;
			return 0;
		}
		r = batch(buf, (size_t)n, l);
	}
	*ret_failed = 0;
	return r;
}

/* Is the mount of this line below path? */
static bool line_is_below(char *line, const char *path)
{
	struct vu_mountinfo m;
	size_t n = strlen(path);

	if (!vu_mountinfo_parse(line, &m))
		return false;
	if (!strcmp(path, "/"))
		return m.point[0] == '/' && m.point[1];
	return !strncmp(m.point, path, n) && m.point[n] == '/';
}

static bool mounted_below(int root)
{
	char link[sizeof("/proc/self/fd/") + 11], path[PATH_MAX];
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", root);
	ssize_t n = readlink(link, path, sizeof(path));

	if (!f || n <= 0 || (size_t)n >= sizeof(path) || path[0] != '/')
		return true;
	path[n] = 0;
	while (getline(&line, &cap, f) > 0)
		if (line_is_below(line, path))
			return true;
	return ferror(f);
}

bool vu_listing_ino_trusted(int root)
{
	vu_cleanup(vu_mount_done_p) struct vu_mount m = {0};

	return !vu_mount_of(root, &m) && vu_mount_can_link(&m) && !mounted_below(root);
}
