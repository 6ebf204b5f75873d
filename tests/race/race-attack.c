/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attackers: open for writing, as fast as it goes, what was unified when it was looked at last. The
 * same files at the same time as the attackers of the other guests, which have the same objects.
 * Whoever gets a descriptor writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "race-proc.h"

/* Immutable: an object, as far as a guest can tell. */
static bool looks_unified(const char *path)
{
	struct statx st;

	return !statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) &&
	       st.stx_attributes & STATX_ATTR_IMMUTABLE;
}

static int open_somehow(struct proc *p, const char *path)
{
	uint64_t t[2];
	int fd, err;

	switch (dice(p, 16)) {
	case 0:
		return open_clocked(p, path, O_RDWR | O_NONBLOCK);
	case 1:
		if (p->ring) {
			clock_begin(p, t);
			fd = uring_open(p->ring, path, O_RDWR);
			err = errno;
			clock_end(p, t, false);
			errno = err;
			return fd;
		}
		return open_clocked(p, path, O_RDWR);
	default:
		return open_clocked(p, path, O_RDWR);
	}
}

/* true: it got in. */
static bool attack_file(struct proc *p, struct at *a)
{
	begin_op(p, M_ATTACK);
	int fd = open_somehow(p, a->path);

	end_op(p);
	if (fd < 0)
		return !was_refused(p, M_ATTACK);
	const char *stamp = next_stamp(p);

	if (pwrite(fd, stamp, STAMP, 0) == STAMP) {
		wrote(a->r, 0, stamp, STAMP);
		note_mtime(a->r, fd);
		was_acked(p, M_ATTACK);
	} else {
		was_refused(p, M_ATTACK);
	}
	close(fd);
	return true;
}

/* What is private: is put back to the original now and then, and looked at whether it still is. */
static void look(struct proc *p, struct at *a, unsigned char *unified)
{
	char prefix[1] = "";

	if (!is_original(p->b, a->r, p->proc, a->dir, a->file) && dice(p, 8) == 0) {
		if (check_file(p->b, p->n, prefix, p->guest, p->proc, a->dir, a->file)) {
			begin_op(p, M_RESTORE);
			restore(p, a);
			end_op(p);
		}
	} else {
		*unified = looks_unified(a->path);
	}
}

void attack(struct proc *p)
{
	unsigned n_files = p->b->n_files;
	unsigned char *unified = calloc(p->b->n_dirs, n_files);
	struct at a;

	if (!unified)
		die("memory");
	for (unsigned sweep = 0; !p->b->stop && !p->b->failed; sweep++) {
		bool any = false;

		for (unsigned i = 0; i < p->b->n_dirs * n_files && !p->b->stop; i++) {
			at_file(p, i / n_files, i % n_files, &a);
			if (unified[i])
				unified[i] = !attack_file(p, &a);
			else if (sweep % 8 == 0)
				look(p, &a, &unified[i]);
			any = any || unified[i];
		}
		/* not to take the time away from whom it attacks */
		nap_us(any && sweep % 32 ? 0 : 1000);
	}
	free(unified);
}
