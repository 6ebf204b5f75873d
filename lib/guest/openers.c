/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mode of the link /proc/PID/fd/N says whether the descriptor is open for writing, and statx(2)
 * through it what is open (proc(5); Linux 6.18). Of mappings, /proc/PID/maps shows the device of the
 * superblock, which on btrfs is not st_dev: so the inode number is looked for there, and what is
 * mapped is asked through /proc/PID/map_files.
 */
#include "guest/openers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LINES_MAX (1 << 18) /* of one process' mappings; a guest chooses how many there are */

struct look {
	const char *const *paths;
	size_t n; /* guests; the root with this index is ours */
	uint64_t dev, ino;
	const pid_t *waited;
	size_t n_waited;
	struct vu_openers_found *found;
};

/* DONT_SYNC: other descriptors may lead to file systems that a guest serves, or that have gone away. */
static bool is_it(const struct look *l, int dirfd, const char *name)
{
	struct statx stx;

	return !statx(dirfd, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &stx) &&
	       stx.stx_ino == l->ino && makedev(stx.stx_dev_major, stx.stx_dev_minor) == l->dev;
}

/* The guest in whose tree a process of the host has opened it, or n. */
static size_t guest_of_path(const struct look *l, int dirfd, const char *name)
{
	char path[8192];
	ssize_t len = readlinkat(dirfd, name, path, sizeof(path) - 1);
	size_t best = l->n, most = 0;

	path[len > 0 ? len : 0] = 0;
	for (size_t i = 0; i < l->n; i++) {
		size_t n = strlen(l->paths[i]);

		if (n > most && !strncmp(path, l->paths[i], n) && path[n] == '/') {
			best = i;
			most = n;
		}
	}
	return best;
}

static void found_at(struct look *l, size_t root, int dirfd, const char *name)
{
	l->found[root < l->n ? root : guest_of_path(l, dirfd, name)].holds = true;
}

static bool look_at_descriptors(struct look *l, size_t root, int task_fd)
{
	_cleanup_fd_ int fd = openat(task_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool any = false;
	struct stat st;

	if (!d)
		return false;
	fd = -EBADF;
	while ((e = readdir(d))) {
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISLNK(st.st_mode) || !(st.st_mode & S_IWUSR) ||
		    !is_it(l, dirfd(d), e->d_name))
			continue;
		found_at(l, root, dirfd(d), e->d_name);
		any = true;
	}
	return any;
}

static void look_at_mappings(struct look *l, size_t root, pid_t pid, int task_fd)
{
	_cleanup_fd_ int fd = openat(task_fd, "maps", O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!f)
		return;
	fd = -EBADF;
	for (int i = 0; i < LINES_MAX && getline(&line, &size, f) > 0; i++) {
		uint64_t from, to, ino;
		char perms[8], file[128];

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %" SCNu64, &from, &to, perms,
			   &ino) != 4 ||
		    ino != l->ino || perms[1] != 'w' || perms[3] != 's')
			continue;
		/* unlike in maps, low addresses have no leading zeros there */
		snprintf(file, sizeof(file), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)pid,
			 from, to);
		if (is_it(l, AT_FDCWD, file))
			found_at(l, root, AT_FDCWD, file);
	}
}

static int look_at_process(void *arg, size_t root, pid_t pid, int task_fd)
{
	struct look *l = arg;

	for (size_t i = 0; i < l->n_waited; i++)
		if (l->waited[i] == pid)
			l->found[VU_MIN(root, l->n)].waited = true;
	if (l->ino && !look_at_descriptors(l, root, task_fd))
		look_at_mappings(l, root, pid, task_fd);
	return 0;
}

int vu_openers_find(const struct vu_procs_root *roots, const char *const *paths, size_t n,
		    uint64_t dev, uint64_t ino, const pid_t *waited, size_t n_waited,
		    struct vu_openers_found *ret_found)
{
	_cleanup_free_ struct vu_procs_root *all = calloc(n + 1, sizeof(*all));
	_cleanup_free_ struct vu_openers_found *found = calloc(n + 1, sizeof(*found));
	struct look l = {paths, n, dev, ino, waited, n_waited, found};
	struct stat st;

	if (!all || !found)
		return -ENOMEM;
	if (stat("/", &st))
		return -errno;
	if (n)
		memcpy(all, roots, n * sizeof(*all));
	/* if a guest is the host itself, it stands before this one and is found first */
	all[n] = (struct vu_procs_root){.dev = st.st_dev, .ino = st.st_ino};
	int r = vu_procs_each(all, n + 1, look_at_process, &l);

	if (!r)
		memcpy(ret_found, found, (n + 1) * sizeof(*found));
	return r;
}
