/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "race-record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *const mode_names[N_MODES] = {
	[M_WRITE] = "write",
	[M_APPEND] = "append",
	[M_OTRUNC] = "otrunc",
	[M_TRUNCATE] = "truncate",
	[M_HOLD] = "hold",
	[M_MMAP] = "mmap",
	[M_URING] = "uring",
	[M_CHMOD] = "chmod",
	[M_CHOWN] = "chown",
	[M_UTIMES] = "utimes",
	[M_XATTR] = "xattr",
	[M_RENAME] = "rename",
	[M_AWAY] = "away",
	[M_UNLINK] = "unlink",
	[M_LINK] = "link",
	[M_PROCFD] = "proc-fd",
	[M_STRING] = "string",
	[M_THREADS] = "threads",
	[M_EXEC] = "exec",
	[M_DIE] = "die",
	[M_DIR_RENAME] = "dir-rename",
	[M_DIR_SYMLINK] = "dir-symlink",
	[M_DIR_BIND] = "dir-bind",
	[M_ATTACK] = "attack",
	[M_RESTORE] = "restore",
};

void die(const char *what)
{
	fprintf(stderr, "race: %s: %s\n", what, strerror(errno));
	exit(3);
}

static size_t n_records(const struct board *b)
{
	return (size_t)b->n_guests * b->n_procs * b->n_dirs * b->n_files;
}

struct board *board_open(const char *path, const struct board *like)
{
	int fd = strcmp(path, "-")
			 ? open(path, O_RDWR | O_CLOEXEC | (like ? O_CREAT | O_EXCL : 0), 0600)
			 : dup(STDIN_FILENO);
	size_t size = like ? sizeof(*like) + n_records(like) * sizeof(struct record) : 0;
	struct stat st;
	struct board *b;

	if (fd < 0 || (like && ftruncate(fd, (off_t)size)) || fstat(fd, &st))
		die(path);
	b = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (b == MAP_FAILED)
		die(path);
	close(fd);
	if (like)
		memcpy(b, like, sizeof(*b));
	return b;
}

struct record *record_of(struct board *b, unsigned guest, unsigned proc, unsigned dir,
			 unsigned file)
{
	return &b->records[((guest * b->n_procs + proc) * b->n_dirs + dir) * b->n_files + file];
}

/* Few contents, so that one is in many places; some so short that btrfs keeps them in its tree. */
void original_of(const struct board *b, unsigned proc, unsigned dir, unsigned file,
		 struct record *ret)
{
	unsigned n = ((proc * b->n_dirs + dir) * b->n_files + file) % b->n_contents;
	unsigned size = 100 + n * 977 % 3400, at = 0;

	*ret = (struct record){
		.exists = true,
		.mode = ORIGINAL_MODE,
		.size = size,
		.mtime = {.tv_sec = ORIGINAL_MTIME, .tv_nsec = 123456789},
	};
	for (unsigned line = 0; at < size; line++)
		at += (unsigned)snprintf(ret->bytes + at, FILE_MAX - at, "content %u, line %u\n", n,
					 line);
	memset(ret->bytes + size, 0, FILE_MAX - size);
}

bool is_original(const struct board *b, const struct record *r, unsigned proc, unsigned dir,
		 unsigned file)
{
	struct record o;

	original_of(b, proc, dir, file, &o);
	return r->exists && !r->away && !r->linked && r->mode == o.mode && r->uid == o.uid &&
	       r->gid == o.gid && r->size == o.size && r->mtime.tv_sec == o.mtime.tv_sec &&
	       r->mtime.tv_nsec == o.mtime.tv_nsec && !r->xattr[0] &&
	       !memcmp(r->bytes, o.bytes, o.size);
}

/* ---- paths ---- */

void dir_path(struct board *b, const char *prefix, unsigned guest, unsigned proc, unsigned dir,
	      char *ret, size_t size)
{
	const struct record_dir *d = &b->dirs[guest][proc][dir];

	snprintf(ret, size, "%s/usr/race/p%u/d%u%s", prefix, proc, dir,
		 d->moved     ? ".moved"
		 : d->swapped ? ".real"
			      : "");
}

void file_path(struct board *b, const char *prefix, unsigned guest, unsigned proc, unsigned dir,
	       unsigned file, char *ret, size_t size)
{
	dir_path(b, prefix, guest, proc, dir, ret, size);
	size_t at = strlen(ret);

	snprintf(ret + at, size - at, "/f%u%s", file,
		 record_of(b, guest, proc, dir, file)->away ? ".away" : "");
}

/* ---- making ---- */

static void make_dir(const char *path)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		die(path);
}

static void make_file(const char *path, const struct record *r)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct timespec times[2] = {r->mtime, r->mtime};

	if (fd < 0 || write(fd, r->bytes, r->size) != (ssize_t)r->size || fchmod(fd, r->mode) ||
	    futimens(fd, times))
		die(path);
	close(fd);
}

static void make_guest(struct board *b, unsigned guest)
{
	char prefix[600], path[700];

	snprintf(prefix, sizeof(prefix), "%s/g%u", b->top, guest + 1);
	make_dir(prefix);
	snprintf(path, sizeof(path), "%s/usr", prefix);
	make_dir(path);
	snprintf(path, sizeof(path), "%s/usr/race", prefix);
	make_dir(path);
	for (unsigned p = 0; p < b->n_procs; p++) {
		snprintf(path, sizeof(path), "%s/usr/race/p%u", prefix, p);
		make_dir(path);
		for (unsigned d = 0; d < b->n_dirs; d++) {
			dir_path(b, prefix, guest, p, d, path, sizeof(path));
			make_dir(path);
			for (unsigned f = 0; f < b->n_files; f++) {
				struct record *r = record_of(b, guest, p, d, f);

				original_of(b, p, d, f, r);
				file_path(b, prefix, guest, p, d, f, path, sizeof(path));
				make_file(path, r);
			}
		}
	}
}

void board_make_guests(struct board *b)
{
	struct record r;
	char path[700];

	for (unsigned g = 0; g < b->n_guests; g++)
		make_guest(b, g);
	for (unsigned f = 0; b->canary[0] && f < b->n_files; f++) {
		original_of(b, 0, 0, f, &r);
		snprintf(path, sizeof(path), "%s/f%u", b->canary, f);
		make_file(path, &r);
	}
}
