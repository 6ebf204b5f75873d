/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * .vunify/slipped holds for each object, under its name,
 *
 *   NAME        who was seen: lines "holds|waited ROOT-INODE"; 0 is nobody's root. Or the line "damaged": nobody
 *               slipped in, but the object is not what its name says (ops/verify-repair.c)
 *   NAME.copy   its content and metadata, verified: they give the key. Missing when they could not be
 *               had any more. Becomes the new object, by getting a name as such
 *
 * The copy comes first, because every instant counts, and is nameless until it is verified. Killed
 * after it: a copy without a note counts as noted, and the object is looked at. Both are on disk before
 * anything is done with them.
 */
#include "link/slip.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fs/beneath.h"
#include "fs/copy.h"
#include "fs/exchange.h"
#include "link/identify.h"

#define DIR_NAME "slipped"
#define SUFFIX ".copy"

static void name_of(const struct vu_key *key, const char *suffix, char *name)
{
	vu_key_name(key, name);
	strcat(name, suffix);
}

#define FILE_NAME_MAX (VU_KEY_NAME_MAX + sizeof(SUFFIX))

/* ---- content ---- */

/*
 * A nameless copy of the open file, with xattrs and inode flags of meta, and the other metadata that the object is to
 * have. Returns its fd; -ESTALE when it does not give the key; or a negative errno.
 */
static int verified_copy(int dir, int from, int meta, const struct vu_object *o,
			 const char *const *domains, size_t max_xattr_bytes)
{
	_cleanup_fd_ int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct vu_object as = *o;
	struct vu_attr attr;
	struct vu_stat st;
	int r = fd < 0 ? -errno : vu_stat_fd(meta, &st);

	if (!r)
		r = vu_copy_content(from, fd, o->size, NULL);
	if (!r)
		r = vu_copy_metadata(meta, &st, fd, max_xattr_bytes);
	as.fd = fd;
	if (!r)
		r = vu_object_restore(&as, -EBADF, max_xattr_bytes);
	if (r)
		return r > 0 ? -ESTALE : r;
	r = vu_identify(fd, &o->key, domains, NULL, max_xattr_bytes, &st, &attr);
	return r > 0 ? vu_take_fd(fd) : r ? r : -ESTALE;
}

static int copy_of(const struct vu_slip_watch *watch, int dir, const struct vu_object *o, int twin,
		   size_t max_xattr_bytes)
{
	const char *const *domains = watch ? watch->domains : NULL;
	int fd = verified_copy(dir, o->fd, o->fd, o, domains, max_xattr_bytes);

	return fd < 0 && twin >= 0 ? verified_copy(dir, twin, twin, o, domains, max_xattr_bytes)
				   : fd;
}

static int secure(const struct vu_slip_watch *watch, int dir, struct vu_object *o, int twin,
		  size_t max_xattr_bytes)
{
	char name[FILE_NAME_MAX];

	name_of(&o->key, SUFFIX, name);
	if (!faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW)) {
		o->secured = true;
		return 0;
	}
	_cleanup_fd_ int fd = copy_of(watch, dir, o, twin, max_xattr_bytes);
	int r = fd < 0 ? fd : vu_link_fd(fd, dir, name);

	o->secured = !r;
	return r;
}

int vu_slip_secure(const struct vu_slip_watch *watch, const struct vu_key *key,
		   const struct vu_object *from, size_t max_xattr_bytes)
{
	_cleanup_fd_ int dir = vu_pool_part_open(from->pool, DIR_NAME, true);
	struct vu_object as = *from;

	as.key = *key;
	return dir < 0 ? dir : secure(watch, dir, &as, -EBADF, max_xattr_bytes);
}

bool vu_slip_intact(const struct vu_slip_watch *watch, const struct vu_object *o,
		    size_t max_xattr_bytes)
{
	_cleanup_fd_ int dir = vu_pool_part_open(o->pool, DIR_NAME, true);
	_cleanup_fd_ int fd = dir < 0 ? dir : copy_of(watch, dir, o, -EBADF, max_xattr_bytes);

	return fd >= 0;
}

/* ---- the note ---- */

static int write_note(int dir, const struct vu_key *key, const struct vu_slip_seen *seen, int n)
{
	char name[FILE_NAME_MAX];

	name_of(key, "", name);
	_cleanup_fd_ int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (seen[i].holds && dprintf(fd, "holds %" PRIu64 "\n", seen[i].root_ino) < 0)
			return -errno;
		if (seen[i].waited && dprintf(fd, "waited %" PRIu64 "\n", seen[i].root_ino) < 0)
			return -errno;
	}
	return 0;
}

int vu_slip_note(const struct vu_slip_watch *watch, struct vu_object *o, int twin,
		 size_t max_xattr_bytes)
{
	struct vu_slip_seen seen[VU_SLIP_SEEN_MAX];
	_cleanup_fd_ int dir = vu_pool_part_open(o->pool, DIR_NAME, true);
	int n = 0;

	if (dir < 0)
		return dir;
	(void)secure(watch, dir, o, twin, max_xattr_bytes);
	if (watch && watch->who)
		n = watch->who(watch->arg, vu_pool_dev(o->pool), o->parked ? 0 : o->ino, &o->waited,
			       seen, VU_SLIP_SEEN_MAX);
	int r = write_note(dir, &o->key, seen, n);

	return r ? r : vu_pool_sync(o->pool);
}

#define DAMAGED "damaged\n"

/*
 * The note first, which means nothing without its copy: a copy alone would stand for a slip. And it gets its name when
 * it is whole: an empty one would be a slip's.
 */
static int write_damage(const struct vu_pool *pool, int dir, const struct vu_key *key, int copy)
{
	char name[FILE_NAME_MAX];

	_cleanup_fd_ int fd = openat(dir, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
	ssize_t n = fd < 0 ? -1 : write(fd, DAMAGED, strlen(DAMAGED));
	int r = n == (ssize_t)strlen(DAMAGED) ? 0 : n < 0 ? -errno : -ENOSPC;

	name_of(key, "", name);
	if (!r)
		r = vu_link_fd(fd, dir, name);
	if (r)
		return r;
	name_of(key, SUFFIX, name);
	r = vu_link_fd(copy, dir, name);
	if (!r)
		r = vu_pool_sync(pool);
	if (r)
		(void)vu_slip_forget(pool, key);
	return r;
}

int vu_slip_note_damage(const struct vu_slip_watch *watch, const struct vu_pool *pool,
			const struct vu_key *key, const struct vu_slip_source *source,
			size_t max_xattr_bytes)
{
	const struct vu_object as = {
		.key = *key,
		.size = source->size,
		.mtime_ns = source->mtime_ns,
		.attr = *source->attr,
	};
	_cleanup_fd_ int dir = vu_pool_part_open(pool, DIR_NAME, true);

	if (dir < 0)
		return dir;
	if (vu_pool_object_slipped(pool, key))
		return -EEXIST;
	_cleanup_fd_ int fd = verified_copy(dir, source->content, source->metadata, &as,
					    watch ? watch->domains : NULL, max_xattr_bytes);

	return fd < 0 ? fd : write_damage(pool, dir, key, fd);
}

int vu_slip_is_damage(const struct vu_pool *p, const struct vu_key *key)
{
	char name[FILE_NAME_MAX], text[sizeof(DAMAGED)] = "";
	_cleanup_fd_ int dir = vu_pool_part_open(p, DIR_NAME, false);

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	name_of(key, "", name);
	_cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return read(fd, text, sizeof(text) - 1) < 0 ? -errno : !strcmp(text, DAMAGED);
}

/* ---- reading ---- */

/* A name in the directory as a key; a copy whose note is missing stands for it. */
static bool key_of(int dir, const char *name, struct vu_key *ret)
{
	char note[FILE_NAME_MAX];
	size_t len = strlen(name), suffix = strlen(SUFFIX);

	if (!vu_key_parse(name, ret))
		return true;
	if (len <= suffix || len >= sizeof(note) || strcmp(name + len - suffix, SUFFIX))
		return false;
	memcpy(note, name, len - suffix);
	note[len - suffix] = 0;
	return !vu_key_parse(note, ret) && faccessat(dir, note, F_OK, AT_SYMLINK_NOFOLLOW);
}

int vu_slip_each(const struct vu_pool *p, int (*fn)(void *arg, const struct vu_key *key), void *arg)
{
	int fd = vu_pool_part_open(p, DIR_NAME, false), r = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d)
		return fd == -ENOENT ? 0 : fd < 0 ? fd : vu_close_failed_consume(fd);
	while (!r && (errno = 0, e = readdir(d))) {
		struct vu_key key;

		if (key_of(dirfd(d), e->d_name, &key))
			r = fn(arg, &key);
	}
	return r ? r : -errno;
}

static void add_seen(struct vu_slip_seen *v, size_t cap, int *n, uint64_t root, bool holds)
{
	int i = 0;

	while (i < *n && v[i].root_ino != root)
		i++;
	if ((size_t)i == cap)
		return;
	if (i == *n)
		v[(*n)++] = (struct vu_slip_seen){.root_ino = root};
	v[i].holds = v[i].holds || holds;
	v[i].waited = v[i].waited || !holds;
}

int vu_slip_seen(const struct vu_pool *p, const struct vu_key *key, struct vu_slip_seen *ret,
		 size_t cap)
{
	char name[FILE_NAME_MAX], line[64];
	_cleanup_fd_ int dir = vu_pool_part_open(p, DIR_NAME, false);
	int n = 0;

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	name_of(key, "", name);
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_fclose_ FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

	if (!f)
		return fd < 0 ? (errno == ENOENT ? 0 : -errno) : vu_close_failed_consume(fd);
	while (fgets(line, sizeof(line), f)) {
		char how[8];
		uint64_t root;

		/* a line that was cut off by a crash says nothing */
		if (strchr(line, '\n') && sscanf(line, "%7s %" SCNu64, how, &root) == 2)
			add_seen(ret, cap, &n, root, !strcmp(how, "holds"));
	}
	if (ferror(f))
		return -EIO;
	return n;
}

int vu_slip_copy_open(const struct vu_pool *p, const struct vu_key *key)
{
	char name[FILE_NAME_MAX];
	_cleanup_fd_ int dir = vu_pool_part_open(p, DIR_NAME, false);

	name_of(key, SUFFIX, name);
	return dir < 0 ? dir : vu_regular_open(dir, name, NULL);
}

/* ---- the end ---- */

static int unlink_name(const struct vu_pool *p, const struct vu_key *key, const char *suffix)
{
	char name[FILE_NAME_MAX];
	_cleanup_fd_ int dir = vu_pool_part_open(p, DIR_NAME, false);

	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	name_of(key, suffix, name);
	return unlinkat(dir, name, 0) && errno != ENOENT ? -errno : 0;
}

int vu_slip_copy_unlink(const struct vu_pool *p, const struct vu_key *key)
{
	return unlink_name(p, key, SUFFIX);
}

int vu_slip_forget(const struct vu_pool *p, const struct vu_key *key)
{
	int r = unlink_name(p, key, SUFFIX);

	return r ? r : unlink_name(p, key, "");
}
