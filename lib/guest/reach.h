/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Could a process of a guest get at a directory that is the host's alone: a pool, or where the catalog
 * is? Such a directory is root's, so only those count that can act as the host's user 0, be it from a
 * user namespace that maps it; and a mount has to show it to them. Reads /proc; touches no process.
 *
 * Where a guest is root on the host and has ways around the names of files (raw disks, handles by
 * CAP_DAC_READ_SEARCH, the host's own processes), it reaches every file of every guest without a pool
 * too: this does not look for that.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest/procs.h"

/* A directory by what no mount changes. */
struct vu_reach_place {
	uint64_t dev; /* of the superblock, as mountinfo shows it */
	char *path;   /* owned; from the top of the file system */
};

enum vu_reach_e {
	VU_REACH_NOT = 0,
	VU_REACH_SHOWN,	 /* a mount in its sight shows the place */
	VU_REACH_BEYOND, /* one outside of its root does, and it could leave that: CAP_SYS_CHROOT */
	VU_REACH_UNKNOWN, /* its mounts cannot be read, or are too many */
};

struct vu_reach_found {
	enum vu_reach_e how;
	size_t place;		      /* index of the place; 0 if unknown */
	pid_t pid;		      /* the first such process */
	char name[VU_PROCS_NAME_MAX]; /* its name; chosen by the guest, any bytes */
};

/* The place of an open directory (borrowed; O_PATH is enough). Returns 0 or a negative errno. */
int vu_reach_place_of(int dirfd, struct vu_reach_place *ret);

/* Frees what it owns and zeroes it. */
void vu_reach_place_done(struct vu_reach_place *p);

/*
 * Looks at all threads of all processes of the n roots (see guest/procs.h). ret_found has n elements.
 * What cannot be read of a thread that lives counts against it; of one guest's mounts 64 MiB of text
 * are read. Returns 0, -ENOMEM, or what opening /proc gave. Starts a thread for a moment.
 */
int vu_reach_scan(const struct vu_procs_root *roots, size_t n, const struct vu_reach_place *places,
		  size_t n_places, struct vu_reach_found *ret_found);
