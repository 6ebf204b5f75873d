/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whoever writes to a file: by descriptors, short and long, by mappings, by io_uring; and the metadata. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "race-proc.h"

/* Where a stamp goes: into the file or right behind its end. */
static uint32_t some_place(struct proc *p, const struct record *r)
{
	uint32_t most = r->size < FILE_MAX - STAMP ? r->size : FILE_MAX - STAMP;

	return dice(p, most / STAMP + 1) * STAMP;
}

static void put_stamp(struct proc *p, struct at *a, enum mode m, int fd)
{
	const char *stamp = next_stamp(p);
	uint32_t at = some_place(p, a->r);

	if (pwrite(fd, stamp, STAMP, at) != STAMP) {
		was_refused(p, m);
		return;
	}
	wrote(a->r, at, stamp, STAMP);
	note_mtime(a->r, fd);
	was_acked(p, m);
}

static void do_write(struct proc *p, struct at *a)
{
	int fd = open_clocked(p, a->path, O_RDWR);

	if (fd < 0 && was_refused(p, M_WRITE))
		return;
	put_stamp(p, a, M_WRITE, fd);
	close(fd);
}

static void do_append(struct proc *p, struct at *a)
{
	const char *stamp = next_stamp(p);

	if (a->r->size > FILE_MAX - STAMP)
		return;
	int fd = open_clocked(p, a->path, O_WRONLY | O_APPEND);

	if (fd < 0 && was_refused(p, M_APPEND))
		return;
	if (write(fd, stamp, STAMP) == STAMP) {
		wrote(a->r, a->r->size, stamp, STAMP);
		note_mtime(a->r, fd);
		was_acked(p, M_APPEND);
	} else {
		was_refused(p, M_APPEND);
	}
	close(fd);
}

static void resized(struct record *r, uint32_t size)
{
	if (size > r->size)
		memset(r->bytes + r->size, 0, size - r->size);
	r->size = size;
}

static void do_otrunc(struct proc *p, struct at *a)
{
	let_go_of(p, a->dir, a->file);
	int fd = open_clocked(p, a->path, O_RDWR | O_TRUNC);

	if (fd < 0 && was_refused(p, M_OTRUNC))
		return;
	resized(a->r, 0);
	note_mtime(a->r, fd);
	was_acked(p, M_OTRUNC);
	put_stamp(p, a, M_OTRUNC, fd);
	close(fd);
}

static void do_truncate(struct proc *p, struct at *a)
{
	uint32_t size = dice(p, FILE_MAX);
	struct stat st;

	let_go_of(p, a->dir, a->file);
	if (truncate_clocked(p, a->path, size) && was_refused(p, M_TRUNCATE))
		return;
	resized(a->r, size);
	if (stat(a->path, &st))
		die(a->path);
	a->r->mtime = st.st_mtim;
	was_acked(p, M_TRUNCATE);
}

/* ---- what stays open ---- */

static unsigned some_held(struct proc *p, struct at *a, bool map)
{
	unsigned i = dice(p, N_HELD);

	for (unsigned k = 0; k < N_HELD; k++)
		if (p->held[k].used && p->held[k].dir == a->dir && p->held[k].file == a->file &&
		    !p->held[k].map == !map)
			return k;
	if (p->held[i].used)
		let_go_of(p, p->held[i].dir, p->held[i].file);
	return i;
}

static bool hold(struct proc *p, struct at *a, unsigned i, enum mode m)
{
	int fd = open_clocked(p, a->path, O_RDWR);

	if (fd < 0 && was_refused(p, m))
		return false;
	p->held[i].map = NULL;
	if (m == M_MMAP) {
		p->held[i].map = mmap(NULL, FILE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		fd = -1;
		if (p->held[i].map == MAP_FAILED)
			die("mmap");
	}
	p->held[i].fd = fd;
	p->held[i].dir = a->dir;
	p->held[i].file = a->file;
	p->held[i].used = true;
	return true;
}

static void do_hold(struct proc *p, struct at *a)
{
	unsigned i = some_held(p, a, false);

	if (p->held[i].used || hold(p, a, i, M_HOLD))
		put_stamp(p, a, M_HOLD, p->held[i].fd);
}

/* Stores long after the descriptor is closed, too. */
static void do_mmap(struct proc *p, struct at *a)
{
	unsigned i = some_held(p, a, true);
	const char *stamp = next_stamp(p);

	if (a->r->size < 2 * STAMP || (!p->held[i].used && !hold(p, a, i, M_MMAP)))
		return;
	uint32_t at = dice(p, a->r->size / STAMP - 1) * STAMP;

	/* the kernel sets the mtime some time */
	a->r->mtime.tv_sec = 0;
	memcpy(p->held[i].map + at, stamp, STAMP);
	wrote(a->r, at, stamp, STAMP);
	was_acked(p, M_MMAP);
}

static void do_uring(struct proc *p, struct at *a)
{
	uint64_t t[2];

	if (!p->ring)
		return;
	clock_begin(p, t);
	int fd = uring_open(p->ring, a->path, O_RDWR), err = errno;

	clock_end(p, t, false);
	errno = err;
	if (fd < 0 && was_refused(p, M_URING))
		return;
	const char *stamp = next_stamp(p);
	uint32_t at = some_place(p, a->r);

	if (uring_write(p->ring, fd, stamp, STAMP, at) == STAMP) {
		wrote(a->r, at, stamp, STAMP);
		note_mtime(a->r, fd);
		was_acked(p, M_URING);
	} else {
		was_refused(p, M_URING);
	}
	close(fd);
}

void act_write(struct proc *p, struct at *a, enum mode m)
{
	static void (*const acts[])(struct proc * p, struct at * a) = {
		[M_WRITE] = do_write,	    [M_APPEND] = do_append, [M_OTRUNC] = do_otrunc,
		[M_TRUNCATE] = do_truncate, [M_HOLD] = do_hold,	    [M_MMAP] = do_mmap,
		[M_URING] = do_uring,
	};

	acts[m](p, a);
}

/* ---- metadata: by the path, and by a descriptor that is open for reading ---- */

static int set_mode(struct proc *p, const struct at *a, int fd, struct record *r)
{
	r->mode = dice(p, 2) ? 0600 : 0755;
	return fd < 0 ? chmod(a->path, r->mode) : fchmod(fd, r->mode);
}

static int set_owner(struct proc *p, const struct at *a, int fd, struct record *r)
{
	r->uid = 1000 + dice(p, 3);
	r->gid = 1000 + dice(p, 3);
	return fd < 0 ? chown(a->path, r->uid, r->gid) : fchown(fd, r->uid, r->gid);
}

static int set_times(struct proc *p, const struct at *a, int fd, struct record *r)
{
	r->mtime = (struct timespec){.tv_sec = 1500000000 + (time_t)dice(p, 1000000),
				     .tv_nsec = dice(p, 1000000000)};
	struct timespec t[2] = {r->mtime, r->mtime};

	return fd < 0 ? utimensat(AT_FDCWD, a->path, t, 0) : futimens(fd, t);
}

static int set_xattr(struct proc *p, const struct at *a, int fd, struct record *r)
{
	bool had = r->xattr[0];

	r->xattr[0] = 0;
	if (had && dice(p, 2))
		return fd < 0 ? removexattr(a->path, XATTR_NAME) : fremovexattr(fd, XATTR_NAME);
	snprintf(r->xattr, sizeof(r->xattr), "%.15s", next_stamp(p));
	return fd < 0 ? setxattr(a->path, XATTR_NAME, r->xattr, strlen(r->xattr), 0)
		      : fsetxattr(fd, XATTR_NAME, r->xattr, strlen(r->xattr), 0);
}

void act_meta(struct proc *p, struct at *a, enum mode m)
{
	struct record r = *a->r;
	uint64_t since = clock_ns();
	int fd = dice(p, 2) ? open(a->path, O_RDONLY | O_CLOEXEC) : -1;
	int e = m == M_CHMOD	? set_mode(p, a, fd, &r)
		: m == M_CHOWN	? set_owner(p, a, fd, &r)
		: m == M_UTIMES ? set_times(p, a, fd, &r)
				: set_xattr(p, a, fd, &r);

	if (e) {
		/* put right in the meantime, with the attribute that was set in the moment */
		if (errno == ENODATA)
			errno = EPERM;
		was_refused(p, m);
	} else {
		if (fd >= 0 && p->b->supervised)
			changed_by_fd(p, a, &r, since);
		else
			*a->r = r;
		was_acked(p, m);
	}
	if (fd >= 0)
		close(fd);
}
