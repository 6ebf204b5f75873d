/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard's programs in the kernel (programs.bpf.c): loads them, attaches them, and pins programs and marks below
 * VU_GUARD_DIR, so that they are in force whether or not a process of vunify runs. Owns that directory; sets no marks
 * (lsm/keep.h does). Built without libbpf, it says so in place of all that. One thread, the first of its process: it
 * is the one that becomes the keeper (programs.bpf.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vu_lsm;

enum vu_lsm_e {
	VU_LSM_UNABLE = 1, /* this kernel, or this build, cannot; ret_why says why */
	VU_LSM_BUSY,	   /* another process is the keeper */
	VU_LSM_OTHER,	   /* the guard in force is of another version, which alone can end it */
	VU_LSM_MARKED,	   /* there are marks: the guard stays in force */
};

/*
 * Can this kernel load and attach the programs? Found out by doing it, for an instant and without a mark. Returns 0,
 * VU_LSM_UNABLE or a negative errno; ret_why (owned by the caller) may be NULL.
 */
int vu_lsm_probe(char **ret_why);

/*
 * Puts the guard in force, or takes over the one that is: its marks stay, and its programs are detached when the new
 * ones are attached. Returns 0, VU_LSM_UNABLE, VU_LSM_BUSY, VU_LSM_OTHER (ret_why for all; may be NULL), or a negative
 * errno.
 */
int vu_lsm_enter(struct vu_lsm **ret, char **ret_why);

/* The map of marks (fs/guard.h); borrowed. */
int vu_lsm_marks(const struct vu_lsm *l);

/* What who wants to write to a marked inode is asked by, and answered (lsm/asks.h): maps, borrowed. */
struct vu_lsm_asking {
	int asks, held, refusals;
	const uint64_t
		*names_missed; /* changes of names that there was no room to tell of; only grows */
};

/* Is there copy-on-write (Linux 6.9 and later)? False: whoever opens a marked inode for writing is refused. */
bool vu_lsm_asks(const struct vu_lsm *l, struct vu_lsm_asking *ret);

/* Detaches the programs, if there are no marks left. Returns 0, VU_LSM_MARKED, or a negative errno. */
int vu_lsm_end(struct vu_lsm *l);

/* The guard stays in force, without this process. Accepts NULL, returns NULL. */
struct vu_lsm *vu_lsm_free(struct vu_lsm *l);
