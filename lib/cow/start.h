/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the paths of a process begin: at its root, its working directory, or a descriptor. Part of cow/view.h; nobody
 * else uses it. To open that by /proc, and to close it again, takes longer than to look the path up behind it
 * (Linux 6.18: 3.4 microseconds with its inode; 2.2 to ask which inode it is). So for the two paths of a call it is
 * opened once, and what comes again and again is kept open, and only compared.
 *
 * What is kept holds up nobody in the guest: an unmount fails with EBUSY where something is open. So only directories
 * on the mount of the guest's own root are kept, which is there as long as the guest is. One that is removed
 * meanwhile is freed when others have taken its place.
 *
 * One for each thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/stat.h"

struct vu_starts;

struct vu_start {
	int fd; /* O_PATH; of vu_starts: until vu_starts_end, or the next vu_starts_get behind it */
	struct vu_stat st;
};

/* proc (borrowed): the host's /proc. dev, ino: of the guest's root; ino 0: nothing is kept. NULL without memory. */
struct vu_starts *vu_starts_new(int proc, uint64_t dev, uint64_t ino);

/* Accepts NULL, returns NULL. */
struct vu_starts *vu_starts_free(struct vu_starts *s);

/*
 * From here to vu_starts_end all is about one call of a thread, which waits: what was found stays. Without it each
 * vu_starts_get looks anew.
 */
void vu_starts_begin(struct vu_starts *s);
void vu_starts_end(struct vu_starts *s);

/*
 * Where a path of the thread begins: at its root, or at dirfd (AT_FDCWD, or a number). Returns 0 or a negative errno.
 */
int vu_starts_get(struct vu_starts *s, pid_t tid, bool root, int dirfd, struct vu_start *ret);
