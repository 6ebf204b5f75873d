/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims: which process works on which object of a pool, where several do at once: one linker, and any
 * number that break links while guests run (share). Owns the file `.vunify/claims` and the locks on it;
 * knows inode numbers only. An object's lease, flag and names are touched by who has its claim alone.
 * Claims are a process's, not a thread's: inside a process whoever has the object at hand
 * (link/object.h) sees to it that there is one of it. Part of link/pool; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct vu_claims;

enum vu_claim_e {
	VU_CLAIMED = 1,	    /* by another process */
	VU_CLAIMS_GONE = 2, /* the pool has just been dissolved */
};

/* For who only looks: no claim can be made. Where there is no file nothing is claimed. 0 or -ENOMEM. */
int vu_claims_open_look(int pool_fd, struct vu_claims **ret);

/*
 * Opens (makes) the file in the open directory of the pool. share: to be one of those that break links
 * beside a linker, from now on until it is closed; waits for a batch of the linker that claims nothing.
 * Returns 0, VU_CLAIMS_GONE or a negative errno.
 */
int vu_claims_open(int pool_fd, bool share, struct vu_claims **ret);

/* Gives everything back. Accepts NULL, returns NULL. */
struct vu_claims *vu_claims_close(struct vu_claims *c);

/* Claims an object, or finds it claimed by this process. Returns 0, VU_CLAIMED or a negative errno. */
int vu_claim(const struct vu_claims *c, uint64_t ino);

/* The same, waiting for limit_ns at most. */
int vu_claim_wait(const struct vu_claims *c, uint64_t ino, uint64_t limit_ns);

void vu_claim_release(const struct vu_claims *c, uint64_t ino);

/* Does another process work on it? Works for who only looks, too. */
bool vu_claim_is_taken(const struct vu_claims *c, uint64_t ino);

/*
 * A batch of the linker begins: need its objects be claimed one by one (1), or is nobody there who shares
 * the pool (0)? In the latter case nobody begins to before vu_claims_end, which is for that case only. Or a
 * negative errno.
 */
int vu_claims_begin(struct vu_claims *c);
void vu_claims_end(struct vu_claims *c);

/* Does anybody share the pool? */
bool vu_claims_are_shared(const struct vu_claims *c);

/*
 * The pool is about to be dissolved: keeps everybody who would share it out until it is closed. Returns 0,
 * VU_CLAIMED when somebody shares it, or a negative errno.
 */
int vu_claims_keep_out(const struct vu_claims *c);

/*
 * Slots: a stage directory and a journal of the same number. Those of the linker are its workers' (its
 * lock guards them); from VU_SLOT_SHARED on a slot is whose claim it is.
 */
#define VU_SLOT_SHARED 1024U
#define VU_SLOT_MAX 2048U

/* Claims a slot. Returns 0, VU_CLAIMED or a negative errno. */
int vu_claim_slot(const struct vu_claims *c, unsigned slot);
void vu_claim_slot_release(const struct vu_claims *c, unsigned slot);

/* Does another process work with it? Works for who only looks, too. */
bool vu_claim_slot_is_taken(const struct vu_claims *c, unsigned slot);

/* Slots of which this process may settle what is left in them. */
struct vu_slots {
	uint64_t shared[(VU_SLOT_MAX - VU_SLOT_SHARED) / 64]; /* a bit for each */
};

/* Adds a slot, if it is one of those that are shared. */
void vu_slots_add(struct vu_slots *slots, unsigned slot);

/*
 * With the linker's lock: those among these slots that nobody works with, claimed until vu_slots_release. The
 * others are for who begins to break links meanwhile.
 */
void vu_slots_claim(const struct vu_claims *c, const struct vu_slots *among, struct vu_slots *ret);
void vu_slots_release(const struct vu_claims *c, const struct vu_slots *slots);
bool vu_slots_have(const struct vu_slots *slots, unsigned slot);
