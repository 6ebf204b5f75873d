/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fs/atomic-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/exchange.h"

#define TRIES 16

static int split(const char *path, char **ret_dir, char **ret_base)
{
	const char *slash = strrchr(path, '/');

	*ret_base = strdup(slash ? slash + 1 : path);
	*ret_dir = !slash	   ? strdup(".")
		   : slash == path ? strdup("/")
				   : strndup(path, (size_t)(slash - path));
	if (!*ret_dir || !*ret_base)
		return -ENOMEM;
	return **ret_base ? 0 : -EISDIR;
}

static int random_name(const struct vu_atomic_file *f, char **ret)
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		return -EIO;
	return asprintf(ret, ".%.100s.%016" PRIx64, f->base, n) < 0 ? (*ret = NULL, -ENOMEM) : 0;
}

static int open_named(struct vu_atomic_file *f)
{
	int r = random_name(f, &f->tmp);

	if (r)
		return r;
	f->fd = openat(f->dir, f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return f->fd < 0 ? -errno : 0;
}

int vu_atomic_file_begin(struct vu_atomic_file *f, const char *path)
{
	_cleanup_free_ char *dir = NULL;
	struct stat st;

	*f = (struct vu_atomic_file){.dir = -EBADF, .fd = -EBADF};
	int r = split(path, &dir, &f->base);

	if (r)
		return r;
	if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
		free(f->base);
		f->base = NULL;
		f->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return f->fd < 0 ? -errno : 0;
	}
	f->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir < 0)
		return -errno;
	f->fd = openat(f->dir, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	if (f->fd >= 0)
		return 0;
	return errno == EOPNOTSUPP || errno == EISDIR ? open_named(f) : -errno;
}

static int give_name(struct vu_atomic_file *f)
{
	int r = -EEXIST;

	for (int i = 0; !f->tmp && r == -EEXIST && i < TRIES; i++) {
		char *name = NULL;

		r = random_name(f, &name);
		if (!r)
			r = vu_link_fd(f->fd, f->dir, name);
		if (r)
			free(name);
		else
			f->tmp = name;
	}
	return f->tmp ? 0 : r;
}

int vu_atomic_file_commit(struct vu_atomic_file *f)
{
	if (!f->base)
		return 0;
	int r = fsync(f->fd) ? -errno : give_name(f);

	if (!r && renameat(f->dir, f->tmp, f->dir, f->base))
		r = -errno;
	if (r)
		return r;
	free(f->tmp);
	f->tmp = NULL;
	return fsync(f->dir) ? -errno : 0;
}

void vu_atomic_file_done(struct vu_atomic_file *f)
{
	if (f->tmp)
		unlinkat(f->dir, f->tmp, 0);
	vu_close_p(&f->fd);
	vu_close_p(&f->dir);
	free(f->tmp);
	free(f->base);
	*f = (struct vu_atomic_file){.dir = -EBADF, .fd = -EBADF};
}
