/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ops/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/hex.h"

VU_DEFINE_CLEANUP(struct vu_hash *, vu_hash_free)

/* HASH is the first half of the digest of the catalog's absolute path. */
int vu_lock_name(const char *what, const char *catalog, char *name, size_t size)
{
	vu_cleanup(vu_hash_free_p) struct vu_hash *hash = vu_hash_new();
	_cleanup_free_ char *real = realpath(catalog, NULL), *dir = strdup(catalog);
	uint8_t digest[VU_HASH_BYTES];
	char hex[VU_HASH_BYTES + 1];

	if (!hash || !dir)
		return -ENOMEM;
	vu_hash_begin(hash);
	if (!real) {
		/* not there yet: its directory's path, and its name */
		char *slash = strrchr(dir, '/');
		const char *base = slash ? slash + 1 : dir;

		if (slash)
			*slash = 0;
		real = realpath(slash ? (*dir ? dir : "/") : ".", NULL);
		vu_hash_add(hash, real ? real : dir, strlen(real ? real : dir));
		vu_hash_add(hash, "/", 1);
		vu_hash_add(hash, base, strlen(base));
	} else {
		vu_hash_add(hash, real, strlen(real));
	}
	int r = vu_hash_end(hash, digest);

	vu_hex_encode(digest, sizeof(digest) / 2, hex);
	snprintf(name, size, "%s-%s", what, hex);
	return r;
}

static pid_t holder(int fd)
{
	char text[32] = {0};
	int pid = 0;

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || sscanf(text, "%d", &pid) != 1)
		return 0;
	return pid;
}

int vu_lock_take(const char *dir, const char *catalog, int *ret_fd, pid_t *ret_pid)
{
	char name[64], text[32];
	int r = vu_lock_name("lock", catalog, name, sizeof(name));

	if (r)
		return r;
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	_cleanup_fd_ int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dirfd < 0)
		return -errno;
	_cleanup_fd_ int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return -errno;
		*ret_pid = holder(fd);
		return VU_LOCK_BUSY;
	}
	/* who holds it is said for people only: a full disk must not stop the run */
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n)
		*ret_pid = 0;
	*ret_fd = vu_take_fd(fd);
	return 0;
}
